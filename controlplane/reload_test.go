package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A function that comes while all others end would start instances.
func TestNothingIsTakenOnceTheEndHasBegun(t *testing.T) {
	cfg, taken := config.Default(), 0
	log, _ := logtest.NewNullLogger()
	r := newReloader(&cfg, func(*Config) error { taken++; return nil }, log)
	r.source.Load = func() (*Config, error) {
		next := config.Default()
		next.Shutdown.Grace = r.current().Shutdown.Grace + 1
		return &next, nil
	}
	require.Empty(t, r.Reload("somebody asks").Refused)
	require.Equal(t, 1, taken)
	ended, end := context.WithCancel(t.Context())
	end()
	require.NoError(t, r.Run(ended))
	require.Equal(t, "this process is about to end", r.Reload("somebody asks").Refused)
	require.Equal(t, 1, taken)
}

// A file that is emptied, cut off or commented out ends no function. One that says that there are none does.
func TestAFileWithoutFunctionsIsNoConfigurationWithNone(t *testing.T) {
	for text, refused := range map[string]bool{
		"": true, "# functions:\n# - name: web\n": true, "null\n": true, "---\n": true, "functions:\n": true, "log: {level: debug}\n": true,
		"functions: []\n": false,
	} {
		file := filepath.Join(t.TempDir(), "controlplane.yaml")
		require.NoError(t, os.WriteFile(file, []byte("functions:\n- name: web\n  routes: [{path: /}]\n"), 0o600))
		load := func() (*Config, error) { return LoadConfig(file, nil, nil) }
		cfg, err := load()
		require.NoError(t, err)
		log, _ := logtest.NewNullLogger()
		r := newReloader(cfg, func(*Config) error { return nil }, log)
		r.source.Load = load
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		did := r.Reload("somebody asks")
		require.Equal(t, refused, did.Refused != "", "%q: %s", text, did.Refused)
		require.Equal(t, refused, len(r.current().Functions) == 1, "%q", text)
		require.Empty(t, r.Reload("again").Changed)
	}
}

// A followed is a reloader that follows a file, in a bubble of synctest.
type followed struct {
	*reloader
	t    *testing.T
	file string
	said *logtest.Hook
}

func (f followed) write(text string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.file, []byte(text), 0o600))
}

// later lets time pass, in which the file is looked at several times.
func (f followed) later() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

const (
	tenWait    = "functions:\n- name: web\n  queue: {limit: 10}\n  routes: [{path: /}]\n"
	twentyWait = "functions:\n- name: web\n  queue: {limit: 20}\n  routes: [{path: /}]\n"
)

func follow(t *testing.T, apply func(*Config) error, do func(followed)) {
	f := followed{t: t, file: filepath.Join(t.TempDir(), "controlplane.yaml")}
	f.write(tenWait)
	load := func() (*Config, error) { return LoadConfig(f.file, nil, nil) }
	cfg, err := load()
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		f.t, f.said, f.reloader = t, said, newReloader(cfg, apply, log)
		f.source = Source{File: f.file, Load: load}
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		f.later()
		do(f)
		end()
		require.NoError(t, <-done)
	})
}

func takeAll(*Config) error { return nil }

// An operator tries something, and puts back what was there before the file was looked at again.
func TestWhatIsPutBackAtOnceIsInUseAgain(t *testing.T) {
	follow(t, takeAll, func(f followed) {
		f.write(twentyWait)
		require.Equal(t, []string{"functions[web].queue.limit"}, f.Reload("an operator asks for it").Changed)
		f.write(tenWait)
		f.later()
		require.Equal(t, 10, f.current().Functions[0].Queue.Limit)

		f.write("functions: [")
		require.NotEmpty(t, f.Reload("an operator asks for it").Refused)
		f.write(tenWait)
		f.later()
		require.Empty(t, f.Last().Refused)
	})
}

// What an operator has had read is not read once more: its result stays to be seen.
func TestAChangeIsReadOnce(t *testing.T) {
	follow(t, takeAll, func(f followed) {
		f.write(twentyWait)
		did := f.Reload("SIGHUP")
		f.later()
		require.Equal(t, did, f.Last())

		f.said.Reset()
		f.write("functions: [")
		did = f.Reload("SIGHUP")
		f.later()
		require.Equal(t, did, f.Last())
		require.Len(t, f.said.AllEntries(), 1)
	})
}

// A configuration and the certificate that it names may come in any order, as from Kubernetes.
func TestWhatWasRefusedIsTakenWhenItFits(t *testing.T) {
	missing := errors.New("certificate of listener front: no such file")
	var there atomic.Bool
	apply := func(*Config) error {
		if there.Load() {
			return nil
		}
		return missing
	}
	follow(t, apply, func(f followed) {
		f.write(twentyWait)
		for range 10 {
			f.later()
		}
		require.Equal(t, missing.Error(), f.Last().Refused)
		require.EqualValues(t, 1, f.Last().NotTaken)
		require.Equal(t, 10, f.current().Functions[0].Queue.Limit)
		require.Len(t, f.said.AllEntries(), 1, "it is said once")
		require.Equal(t, logrus.ErrorLevel, f.said.LastEntry().Level)
		require.NotEmpty(t, f.Reload("SIGHUP").Refused)
		require.Len(t, f.said.AllEntries(), 2, "and whenever somebody asks")

		there.Store(true)
		for range 3 {
			f.later()
		}
		require.Empty(t, f.Last().Refused)
		require.Equal(t, 20, f.current().Functions[0].Queue.Limit)
	})
}

// A file that was refused and is written anew, slowly, is not read in between.
func TestWhatWasRefusedIsNotTriedAgainHalfWritten(t *testing.T) {
	follow(t, takeAll, func(f followed) {
		f.write("functions: [")
		f.later()
		require.NotEmpty(t, f.Last().Refused)
		for n := range 40 {
			f.write(twentyWait + strings.Repeat("#", n))
			time.Sleep(400 * time.Millisecond)
			synctest.Wait()
			require.Equal(t, 10, f.current().Functions[0].Queue.Limit)
		}
		f.later()
		require.Equal(t, 20, f.current().Functions[0].Queue.Limit)
	})
}
