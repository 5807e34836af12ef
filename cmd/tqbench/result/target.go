package result

// Target is a promise: what a contestant of ours is to reach in a scenario.
type Target struct {
	Scenario   string
	Contestant string
	Against    string // the contestant that Want is a ratio to; empty means that Want is the number itself
	Metric     Metric
	AtMost     bool // or else at least
	Want       float64
	NoErrors   bool // nor may a request fail
}

// Targets returns what TQServer must show.
func Targets() []Target {
	const ours, behind = "tqserver", "nginx-tqserver"
	atLeast := func(scenario, contestant, against string, want float64) Target {
		return Target{Scenario: scenario, Contestant: contestant, Against: against, Metric: Rate, Want: want}
	}
	return []Target{
		atLeast("hello", ours, "nginx-fpm", 1.3),
		atLeast("hello", behind, "nginx-fpm", 1.0),
		atLeast("cpu", ours, "nginx-fpm", 1.02),
		atLeast("cpu", behind, "nginx-fpm", 1.02),
		atLeast("dokuwiki", ours, "nginx-fpm", 1.02),
		atLeast("dokuwiki", behind, "nginx-fpm", 1.02),
		{Scenario: "overload", Contestant: ours, Against: "nginx-fpm-keepalive", Metric: P99, AtMost: true, Want: 0.5, NoErrors: true},
		{Scenario: "overload", Contestant: behind, Against: "nginx-fpm-keepalive", Metric: P99, AtMost: true, Want: 0.5, NoErrors: true},
		{Scenario: "burst", Contestant: ours, Against: "nginx-fpm", Metric: LastRun, AtMost: true, Want: 0.01},
		atLeast("go", ours, "nginx-nethttp", 1.0),
		atLeast("go", ours, "caddy-nethttp", 2.0),
		atLeast("go", ours, "go-plugin-grpc", 2.5),
		{Scenario: "hello", Contestant: ours, Against: "nginx-fpm", Metric: CPU, AtMost: true, Want: 0.75},
		{Scenario: "idle", Contestant: ours, Metric: MemoryOwn, AtMost: true, Want: 60 << 20},
	}
}

// Verdict is what became of a target.
type Verdict struct {
	Target
	Measured Spread
	Errors   int
	Met      bool
	Why      string // it could not be measured
}

// Judge holds a report against the targets.
func Judge(r Report) []Verdict {
	var all []Verdict
	for _, t := range Targets() {
		all = append(all, t.judge(r))
	}
	return all
}

func (t Target) judge(r Report) Verdict {
	v := Verdict{Target: t}
	s, ok := r.Scenario(t.Scenario)
	if !ok {
		v.Why = "the scenario did not run"
		return v
	}
	e, ok := s.Entry(t.Contestant)
	if !ok || len(e.Rounds) == 0 {
		v.Why = t.Contestant + " was not measured"
		return v
	}
	v.Errors, _ = e.Errors()
	if t.Against == "" {
		v.Measured = Of(e.Values(t.Metric))
	} else {
		base, ok := s.Entry(t.Against)
		if !ok || len(base.Rounds) == 0 {
			v.Why = t.Against + " was not measured"
			return v
		}
		v.Measured = e.Ratio(base, t.Metric)
	}
	if v.Measured.N == 0 {
		v.Why = "there is no number to compare"
		return v
	}
	if t.AtMost {
		v.Met = v.Measured.Median <= t.Want
	} else {
		v.Met = v.Measured.Median >= t.Want
	}
	v.Met = v.Met && (!t.NoErrors || v.Errors == 0)
	return v
}
