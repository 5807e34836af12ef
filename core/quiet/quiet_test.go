package quiet

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestFiresWhenLeftAloneOrAtTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rest, most = 100 * time.Millisecond, time.Second
		q := New(rest, most)
		defer q.Stop()
		began := time.Now()
		fires := func(want time.Duration) {
			t.Helper()
			<-q.C
			if got := time.Since(began); got != want {
				t.Errorf("fired after %v, want %v", got, want)
			}
			q.Begin()
			began = time.Now()
		}
		fires(rest)
		q.Changed()
		<-time.After(rest / 2)
		q.Changed()
		fires(rest/2 + rest)
		if q.Early() {
			t.Error("a change of before counts still")
		}
		for range 19 { // never left alone
			q.Changed()
			<-time.After(rest / 2)
		}
		if !q.Early() {
			t.Error("the changes do not count")
		}
		q.Changed()
		fires(most)
		q.Again()
		fires(rest)
	})
}
