package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// checkSum compares an executable with what the configuration says of it. It
// finds what was changed by mistake or by an update nobody knows of; who may write
// the file can change it just after the look as well.
func checkSum(path, want string) error {
	if want == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("the SHA-256 of %s is %s, its sha256 setting says %s: it is another file than the one that was configured", path, got, want)
	}
	return nil
}
