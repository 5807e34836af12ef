package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/load"
	"github.com/mevdschee/tqserver/cmd/tqbench/result"
	"github.com/mevdschee/tqserver/cmd/tqbench/usage"
)

const (
	// answerWait bounds the wait for a first right answer, answerPools that of
	// 1,000 applications, answerQuick that of a quick run, answerTry one try.
	answerWait, answerPools, answerQuick, answerTry = 60 * time.Second, 5 * time.Minute, 20 * time.Second, 10 * time.Second
	// answerPause is the pause between two tries, and so how exact first
	// answers are.
	answerPause = time.Millisecond
	// warmup is how long every contestant is warmed up, every answer checked.
	warmup = time.Second
	// overloadLeast is the shortest overload: each of 256 clients waits for two
	// thirds of a second on two cores, and must be answered more than once.
	overloadLeast = 3 * time.Second
)

// answered asks until the answer is right.
func answered(ctx context.Context, e *env, r *contestant.Running, q load.Request) error {
	bound := answerWait
	switch {
	case e.Quick:
		bound = answerQuick
	case e.app.Pools > 1:
		bound = answerPools
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	client := load.NewClient()
	defer client.CloseIdleConnections()
	client.Timeout = answerTry
	ticker := time.NewTicker(answerPause)
	defer ticker.Stop()
	var last error // that was not the end of all time
	for {
		_, err := q.Once(ctx, client, r.URL)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if ended := r.Err(); ended != nil {
			return ended
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no right answer within %v: %w", bound, last)
		case <-ticker.C:
		}
	}
}

// warm lets as many clients as wrk will have in for a while, and is not content
// with less than right answers. That some clients get none is not its matter.
func warm(ctx context.Context, e *env, r *contestant.Running, q load.Request) error {
	_, err := load.Crowd{URL: r.URL, Request: q, Clients: clients, Duration: e.warmup()}.Run(ctx)
	return errors.Join(err, r.Err())
}

func (e *env) warmup() time.Duration {
	if e.Quick {
		return warmup / 4
	}
	return warmup
}

// throughput is wrk, with a visitor beside it.
func throughput(ctx context.Context, e *env, r *contestant.Running, q load.Request) (result.Round, error) {
	return loaded(r, func() (load.Result, map[result.Metric]float64, string, error) {
		visiting, leave := context.WithCancel(ctx)
		defer leave()
		type visit struct {
			longest time.Duration
			err     error
		}
		visited := make(chan visit, 1)
		go func() { // ends with visiting
			longest, err := load.Visit(visiting, r.URL, q)
			visited <- visit{longest, err}
		}()
		got, err := load.Wrk{
			Binary: e.Site.Tools[contestant.Wrk], Dir: r.Dir, URL: r.URL, Request: q, Connections: clients, Duration: e.Duration,
		}.Run(ctx)
		leave()
		v := <-visited
		note := ""
		if v.err != nil {
			note = "the visitor: " + v.err.Error()
			if got.Errors != nil {
				got.Errors["visitor"]++
			}
		}
		return got, map[result.Metric]float64{result.Visitor: v.longest.Seconds()}, note, err
	})
}

// overload is a crowd of many more clients than processes.
func overload(ctx context.Context, e *env, r *contestant.Running, q load.Request) (result.Round, error) {
	return loaded(r, func() (load.Result, map[result.Metric]float64, string, error) {
		got, first := load.Crowd{URL: r.URL, Request: q, Clients: crowd, Duration: max(e.Duration, overloadLeast)}.Run(ctx)
		if first != nil {
			return got, nil, first.Error(), nil
		}
		return got, nil, "", nil
	})
}

// loaded measures what r uses while run puts load on it.
func loaded(r *contestant.Running, run func() (load.Result, map[result.Metric]float64, string, error)) (result.Round, error) {
	before, err := r.Family.CPU()
	if err != nil {
		return result.Round{}, err
	}
	got, values, note, err := run()
	if err != nil {
		return result.Round{}, err
	}
	if err := r.Err(); err != nil {
		return result.Round{}, err
	}
	after, err := r.Family.All()
	if err != nil {
		return result.Round{}, err
	}
	return toRound(got, values, note, before, after)
}

func toRound(got load.Result, values map[result.Metric]float64, note string, before, after usage.Sample) (result.Round, error) {
	good := float64(got.Good)
	if good <= 0 {
		return result.Round{}, fmt.Errorf("no request was answered; errors: %v %s", got.Errors, note)
	}
	round := result.Round{Requests: got.Requests, Errors: got.Errors, Note: note, Values: map[result.Metric]float64{
		result.Rate: good / got.Elapsed.Seconds(),
		result.P50:  got.P50.Seconds(), result.P99: got.P99.Seconds(),
		result.CPU: (after.CPU - before.CPU).Seconds() / good * 1000, result.CPUPHP: (after.PHP - before.PHP).Seconds() / good * 1000,
		result.Memory: float64(after.Memory), result.MemoryPHP: float64(after.PHPMemory), result.Processes: float64(after.Processes),
	}}
	maps.Copy(round.Values, values)
	return round, nil
}
