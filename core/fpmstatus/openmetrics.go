package fpmstatus

import (
	"bytes"
	"fmt"
	"strings"
)

// openMetric is one metric of the format and the field that is its value.
type openMetric struct{ name, kind, help, field string }

// openMetrics are FPM's, in its order, texts, and types: counters that end in
// no _total are not what OpenMetrics asks, but what everybody's dashboards name.
func openMetrics() []openMetric {
	return []openMetric{
		{"start_since", "counter", "The number of seconds since FPM has started.", "start since"},
		{"accepted_connections", "counter", "The number of requests accepted by the pool.", "accepted conn"},
		{"listen_queue", "gauge", "The number of requests in the queue of pending connections.", "listen queue"},
		{"max_listen_queue", "counter", "The maximum number of requests in the queue of pending connections since FPM has started.", "max listen queue"},
		{"listen_queue_length", "gauge", "The size of the socket queue of pending connections.", "listen queue len"},
		{"idle_processes", "gauge", "The number of idle processes.", "idle processes"},
		{"active_processes", "gauge", "The number of active processes.", "active processes"},
		{"total_processes", "gauge", "The number of idle + active processes.", "total processes"},
		{"max_active_processes", "counter", "The maximum number of active processes since FPM has started.", "max active processes"},
		{"max_children_reached", "counter", "The number of times, the process limit has been reached, when pm tries to start more children (works only for pm 'dynamic' and 'ondemand').", "max children reached"},
		{"slow_requests", "counter", "The number of requests that exceeded your 'request_slowlog_timeout' value.", "slow requests"},
		{"memory_peak", "gauge", "The memory usage peak since FPM has started.", "memory peak"},
	}
}

func writeOpenMetrics(b *bytes.Buffer, pool []field) {
	value := map[string]string{}
	for _, f := range pool {
		value[f.name] = f.plain()
	}
	help := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	fmt.Fprintf(b, "# HELP phpfpm_up Could pool %s using a %s PM on PHP-FPM be reached?\n# TYPE phpfpm_up gauge\nphpfpm_up 1\n",
		help.Replace(line(value["pool"])), help.Replace(line(value["process manager"])))
	for _, m := range openMetrics() {
		lines := []string{"# HELP phpfpm_" + m.name + " " + m.help, "# TYPE phpfpm_" + m.name + " " + m.kind}
		if m.name == "listen_queue_length" { // the one that FPM has the other way round
			lines[0], lines[1] = lines[1], lines[0]
		}
		fmt.Fprintf(b, "%s\n%s\nphpfpm_%s %s\n", lines[0], lines[1], m.name, value[m.field])
	}
	b.WriteString("# EOF\n")
}
