package lifecycle

import (
	"log/slog"
	"testing"
)

func logger(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
