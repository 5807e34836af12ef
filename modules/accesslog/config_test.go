package accesslog

import (
	"testing"

	"github.com/mevdschee/tqserver/core/conf/conftest"
)

func TestConfig(t *testing.T) { conftest.Section(t, Section, Section.Defaults()) }
