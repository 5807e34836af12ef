package scenario

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/load"
	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

const (
	// slowFor is how long a request of a burst takes, with --quick and without.
	slowQuick, slowFor = time.Second, 4 * time.Second
	// settle is how long an idle contestant is left alone before it is measured:
	// PHP-FPM's manager looks once a second.
	settle = 2500 * time.Millisecond
	// woken is how many idle applications are asked.
	woken = 20
)

// wait is for what has no condition to wait for.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// begin starts c and waits for the right answer.
func begin(ctx context.Context, e *env, c contestant.Contestant, q load.Request) (*contestant.Running, time.Duration, error) {
	from := time.Now()
	r, err := c.Start(ctx, e.Site, e.app)
	if err != nil {
		return nil, 0, err
	}
	if err := answered(ctx, e, r, q); err != nil {
		r.Stop()
		return nil, 0, err
	}
	return r, time.Since(from), nil
}

func fromIdle(ctx context.Context, e *env, c contestant.Contestant, q load.Request) (result.Round, error) {
	ready, took := q, slowFor
	ready.Path += "0"
	if e.Quick {
		took = slowQuick
	}
	q.Path += strconv.FormatInt(took.Milliseconds(), 10)
	r, _, err := begin(ctx, e, c, ready)
	if err != nil {
		return result.Round{}, err
	}
	defer r.Stop()
	if err := wait(ctx, settle); err != nil {
		return result.Round{}, err
	}
	sample, err := r.Family.All()
	if err != nil {
		return result.Round{}, err
	}
	starts, err := load.Burst(ctx, r.URL, q, burst)
	if err != nil {
		return result.Round{}, err
	}
	return result.Round{Requests: burst, Values: map[result.Metric]float64{
		result.FirstRun: starts[0].Seconds(), result.LastRun: starts[burst-1].Seconds(),
		result.Memory: float64(sample.Memory), result.Processes: float64(sample.Processes),
	}}, nil
}

func coldStart(ctx context.Context, e *env, c contestant.Contestant, q load.Request) (result.Round, error) {
	r, took, err := begin(ctx, e, c, q)
	if err != nil {
		return result.Round{}, err
	}
	defer r.Stop()
	sample, err := r.Family.All()
	if err != nil {
		return result.Round{}, err
	}
	return result.Round{Requests: 1, Values: map[result.Metric]float64{
		result.Answer: took.Seconds(), result.Memory: float64(sample.Memory), result.Processes: float64(sample.Processes),
	}}, nil
}

func idle(ctx context.Context, e *env, c contestant.Contestant, q load.Request) (result.Round, error) {
	r, _, err := begin(ctx, e, c, q)
	if err != nil {
		return result.Round{}, err
	}
	defer r.Stop()
	if c.ID == contestant.TQServer {
		if err := answered(ctx, e, r, goHello(e.Site)); err != nil {
			return result.Round{}, err
		}
	}
	if err := wait(ctx, settle); err != nil {
		return result.Round{}, err
	}
	sample, err := r.Family.All()
	if err != nil {
		return result.Round{}, err
	}
	return result.Round{Requests: 2, Values: map[result.Metric]float64{
		result.Memory: float64(sample.Memory), result.MemoryPHP: float64(sample.PHPMemory),
		result.MemoryOwn: float64(sample.Memory - sample.PHPMemory), result.Processes: float64(sample.Processes),
	}}, nil
}

func manyPools(ctx context.Context, e *env, c contestant.Contestant, q load.Request) (result.Round, error) {
	// With one first, which says at once whether the setting is there.
	one := *e
	one.app.Pools = 1
	r, _, err := begin(ctx, &one, c, q)
	if err != nil {
		return result.Round{}, refused(err)
	}
	r.Stop()
	r, took, err := begin(ctx, e, c, q)
	if err != nil {
		return result.Round{}, err
	}
	defer r.Stop()
	sample, err := r.Family.All()
	if err != nil {
		return result.Round{}, err
	}
	client := load.NewClient()
	defer client.CloseIdleConnections()
	var wakes []float64
	for i := range woken {
		from := time.Now()
		if _, err := poolHello(pools/2+i).Once(ctx, client, r.URL); err != nil {
			return result.Round{}, fmt.Errorf("an idle application: %w", err)
		}
		wakes = append(wakes, time.Since(from).Seconds())
	}
	if err := warm(ctx, e, r, q); err != nil {
		return result.Round{}, err
	}
	round, err := throughput(ctx, e, r, q)
	if err != nil {
		return result.Round{}, err
	}
	round.Values[result.Answer], round.Values[result.Wake] = took.Seconds(), result.Of(wakes).Median
	round.Values[result.Memory], round.Values[result.Processes] = float64(sample.Memory), float64(sample.Processes)
	return round, nil
}

// errRefused is a setting that this version of the server does not have.
var errRefused = errors.New("the server refuses php.pool.manager: ondemand, without which 1,000 applications would all have processes")

// refused makes one line of the many in which a server says so.
func refused(err error) error {
	line := regexp.MustCompile(`(?m)^.*pool\.manager.*$`).FindString(err.Error())
	if line == "" {
		return err
	}
	return fmt.Errorf("%w: %s", errRefused, strings.TrimSpace(line))
}
