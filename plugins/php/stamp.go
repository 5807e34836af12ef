package php

import (
	"os"
	"syscall"
)

// stamp tells whether a file is the one it was.
type stamp struct {
	Path          string `json:"path"`
	Device, Inode uint64
	Size          int64
	// Modified and Changed are in nanoseconds (mtime, ctime); all are 0 for a
	// file that is not there.
	Modified, Changed int64
}

// stampOf follows links.
func stampOf(path string) stamp {
	s := stamp{Path: path}
	info, err := os.Stat(path)
	if err != nil {
		return s
	}
	s.Size, s.Modified = info.Size(), info.ModTime().UnixNano()
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Device, s.Inode, s.Changed = sys.Dev, sys.Ino, sys.Ctim.Nano()
	}
	return s
}

func (s stamp) holds() bool { return stampOf(s.Path) == s }
