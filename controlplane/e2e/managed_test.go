package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// The same image serves as many requests at once on Lambda Managed Instances, without the dispatcher.
func TestTheSameImageRunsOnManagedInstances(t *testing.T) {
	t.Parallel()
	const atOnce = 5
	for _, peer := range controlplanetest.Peers {
		t.Run(string(peer), func(t *testing.T) {
			t.Parallel()
			f := controlplanetest.App(t, "web", peer).Local
			managed := lambdalocal.DefaultManaged()
			managed.MinEnvironments, managed.MaxConcurrency = 1, atOnce+1
			f.MemoryMB, f.Managed = 2048, &managed
			url := direct(t, f)
			require.Eventually(t, func() bool { return code(t, url+"/hello") == http.StatusOK }, time.Minute, 10*time.Millisecond)
			var all sync.WaitGroup
			for range atOnce {
				all.Go(func() { require.Equal(t, http.StatusOK, code(t, url+"/sleep?ms=5000")) })
			}
			require.Eventually(t, func() bool {
				response, err := http.Get(url + "/in-flight")
				require.NoError(t, err)
				defer response.Body.Close()
				var got struct{ Now int }
				require.NoError(t, json.NewDecoder(response.Body).Decode(&got))
				return got.Now == atOnce+1
			}, time.Minute, 10*time.Millisecond)
			all.Wait()
		})
	}
}

// direct is where a lambdalocal serves the function as its URL would.
func direct(t *testing.T, f lambdalocal.Function) (url string) {
	t.Helper()
	cfg := lambdalocal.Default()
	cfg.Address, cfg.Direct.Address, cfg.Functions = "127.0.0.1:0", "127.0.0.1:0", []lambdalocal.Function{f}
	log := logrus.New()
	log.SetOutput(t.Output())
	s, err := lambdalocal.New(cfg, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	return s.DirectURL() + "/" + f.Name
}

func code(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}
