package etcdconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for config, want := range map[string]string{
		"etcd://h/tq":                   "etcd://h:2379/tq",
		"etcd://h:1,i:2,[::1]:3/a/b/":   "etcd://h:1,i:2,[::1]:3/a/b",
		"etcd://[::1]/tq":               "etcd://[::1]:2379/tq",
		"etcds://me@h/tq?copy=/var/c":   "etcds://h:2379/tq",
		"etcds://h/tq?cert=/c&key=/k":   "etcds://h:2379/tq",
		"etcd://h":                      "!give the prefix",
		"etcd://h/":                     "!give the prefix",
		"etcd:///tq":                    "!give the hosts",
		"etcd://h,/tq":                  "!give the hosts",
		"etcd://h:x/tq":                 "!no host and port",
		"etcd://a:b:c/tq":               "!no host and port",
		"etcd://h/a//b":                 "!plainly",
		"etcd://h/../b":                 "!plainly",
		"etcd://me:s3cret@h/tq":         "!by ?password_file=FILE or by ETCDCTL_PASSWORD",
		"etcd://h/tq?cacert=/c":         "!write etcds://",
		"etcds://h/tq?cert=/c":          "!both cert and key",
		"etcd://h/tq?password_file=/p":  "!needs a user",
		"etcd://h/tq?cop=/c":            "!did you mean copy?",
		"etcd://h/tq?copy=":             "!not empty",
		"etcd://h/tq?copy=%zz":          "!NAME=VALUE",
		"etcd://me@h/tq?copy=a&copy=b":  "!once",
		"etcd://u@v@h/tq?cacert=s3cret": "!write etcds://",
	} {
		s, err := Parse(config, func(string) string { return "" })
		if message, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), message) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v", config, err)
			}
			continue
		}
		if err != nil || s.Name() != want {
			t.Errorf("%s: %v %v", config, s, err)
		}
	}
	if Is("config/etcd.yaml") || !Is("etcd://h/p") || !Is("etcds://h/p") {
		t.Error("what is in etcd is not told from a file")
	}
}

func TestCopy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.json")
	parse := func(config string) *Source {
		s, err := Parse(config, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := parse("etcd://h/tq?copy=" + file)
	if _, found, err := s.Saved(); found || err != nil {
		t.Error(found, err)
	}
	for _, text := range []string{"one", "two"} {
		if err := s.Save(Files{"tqserver.yaml": []byte(text)}); err != nil {
			t.Fatal(err)
		}
		files, found, err := s.Saved()
		if err != nil || !found || texts(files) != "map[tqserver.yaml:"+text+"]" {
			t.Error(files, found, err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if _, _, err := parse("etcd://h/other?copy=" + file).Saved(); err == nil || !strings.Contains(err.Error(), "is of etcd://h:2379/tq") {
		t.Error(err)
	}
	if list, err := os.ReadDir(filepath.Dir(file)); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	none := parse("etcd://h/tq")
	if _, found, err := none.Saved(); found || err != nil || none.Save(nil) != nil {
		t.Error("a source without a copy has one")
	}
}
