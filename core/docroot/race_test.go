package docroot_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/docroot"
)

// A file that is swapped for a symlink out of the root, back and forth, is
// found as the file or refused; a Static is never found outside. (The swap
// after the check is the file server's and open_basedir's to withstand.)
func TestSwappedSymlinkNeverLeadsOut(t *testing.T) {
	dir := plant(t)
	root := mustNew(t, options(dir))
	file, link, victim := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "public/swapped.txt")
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.WriteFile(file, nil, 0o600)
			_ = os.Rename(file, victim)
			_ = os.Symlink(dir+"/secret/passwd", link)
			_ = os.Rename(link, victim)
		}
	})
	var files, refused int
	for end := time.Now().Add(10 * time.Second); (files < 20 || refused < 20) && time.Now().Before(end); {
		got, err := root.Resolve("/swapped.txt")
		switch status(t, err) {
		case 0:
			files++
			if got.Kind != docroot.Static || got.Filename != victim {
				t.Errorf("found %+v", got)
			}
		default:
			refused++
		}
	}
	close(stop)
	swapper.Wait()
	if files == 0 || refused == 0 {
		t.Errorf("the swap was not met: %d files, %d refused", files, refused)
	}
}
