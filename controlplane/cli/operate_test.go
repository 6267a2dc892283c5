package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// runs starts a control plane with one function, and returns its admin address.
func runs(t *testing.T, more ...string) (admin string) {
	t.Helper()
	admin = freeAddress(t)
	p := start(t, "{aws: {region: eu-central-1}, functions: [{name: web, routes: [{path: /web}]}, {name: batch, routes: [{path: /batch}]}]}",
		append(more, "--set", "admin.address="+admin)...)
	p.says("control plane runs")
	t.Cleanup(func() {
		p.signal()
		_ = p.end()
	})
	return admin
}

func TestStatusShowsWhatRuns(t *testing.T) {
	admin := runs(t)
	stdout, stderr, err := try(t, "status", "--admin", admin)
	require.NoError(t, err)
	require.Empty(t, stderr)
	require.Regexp(t, `(?m)^FUNCTION +READY +STARTING `, stdout)
	require.Regexp(t, `(?m)^web +0 +0 `, stdout)
	require.Regexp(t, `(?m)^batch +0 +0 `, stdout)
	require.Contains(t, stdout, "not ready: no Envoy has connected yet\n")

	stdout, _, err = try(t, "status", "--admin", admin, "--json", "web")
	require.NoError(t, err)
	var s shown
	require.NoError(t, json.Unmarshal([]byte(stdout), &s))
	require.Len(t, s.Functions, 1)
	require.Equal(t, "web", s.Functions[0].Name)
	require.NotNil(t, s.Instances)

	_, _, err = try(t, "status", "--admin", admin, "wob")
	require.EqualError(t, err, `status: function "wob": not found: there are batch, web`)
	require.Equal(t, 1, exitCode(err))
}

// An operator finds an instance in the log by what status calls it.
func TestInstancesAreShownByTheirIDs(t *testing.T) {
	var out strings.Builder
	s := shown{Functions: []operator.Function{{Name: "web", Frozen: 7}}, Instances: []operator.Instance{
		{ID: "598b9bd9389aebcd", Endpoint: "web/0000", State: "starting", WaitsFor: "its peer to dial"},
		{ID: "27700611941c7914", Endpoint: "web/0001", State: "draining", DrainReason: "scale_in", FunctionVersion: "2"},
	}}
	require.NoError(t, s.print(&out, true))
	require.Regexp(t, `(?m)^web +0 +0 +0 +7 `, out.String())
	require.Regexp(t, `(?m)^598b9bd9389aebcd +starting +0 +0 +0s +- +waits for its peer to dial$`, out.String())
	require.Regexp(t, `(?m)^27700611941c7914 +draining +0 +0 +0s +2 +scale_in$`, out.String())
}

// A standby's zeros are not the service's.
func TestStatusOfAStandbySaysWhoLeads(t *testing.T) {
	const file = "{relay: {apart: true}, aws: {region: eu-central-1}, functions: [{name: web, routes: [{path: /}]}]}"
	leads, standsBy := freeAddress(t), freeAddress(t)
	leader := start(t, file, "--set", "admin.address="+leads)
	leader.says("this control plane leads")
	standby := start(t, file, "--set", "admin.address="+standsBy, "--set", "state_dir="+leader.dir)
	standby.says("control plane runs")
	says := func(address, line string) {
		require.Eventually(t, func() bool {
			stdout, _, err := try(t, "status", "--admin", address)
			return err == nil && strings.Contains(stdout, line)
		}, 10*time.Second, 20*time.Millisecond, line)
	}
	says(leads, "no relay is attached: nothing starts, and it is not known which instances still serve\n")
	says(standsBy, "not ready: this control plane does not lead: it is a standby\n"+
		"a standby does not know what runs; the leader does, whose admin address is "+leads+"\n")
	require.NoError(t, os.RemoveAll(leader.dir)) // the store of the lease
	says(standsBy, "the lease has not been read or renewed for ")
	says(standsBy, "so no other control plane can follow the one that leads: lease: open "+leader.dir)
	for _, p := range []*process{standby, leader} {
		p.signal()
		require.NoError(t, p.end())
	}
}

// What alerts tell of is told here as well: whoever is woken up looks here first.
func TestStatusSaysWhatIsNotTaken(t *testing.T) {
	p := standing{
		place: place{Role: admin.RoleAlone, Files: map[string]string{"listener/front": "the key is another certificate's", "configuration": "queue.limit: must be positive"}},
		Ready: true, Refused: []admin.Refused{{Service: "lds", Resource: "front", Why: "cannot bind '0.0.0.0:8080': Address already in use\n"}},
	}
	var out strings.Builder
	p.print(&out)
	require.Equal(t, "an Envoy refuses lds front, which is offered again: cannot bind '0.0.0.0:8080': Address already in use\n"+
		"configuration: what its file holds is not taken, and what it held before is in use: queue.limit: must be positive\n"+
		"listener/front: what its file holds is not taken, and what it held before is in use: the key is another certificate's\n", out.String())
}

// A configuration with a mistake is one of the files.
func TestStatusSaysThatTheConfigurationIsNotTaken(t *testing.T) {
	at := freeAddress(t)
	p := startCommand(t, "relay", "relay: {apart: true, admin: '"+at+"'}")
	p.says("relay runs")
	p.write("{relay: {apart: true, admin: '" + at + "'}, functoins: []}")
	require.Eventually(t, func() bool {
		stdout, _, err := try(t, "status", "--admin", at)
		return err == nil && strings.Contains(stdout, "configuration: what its file holds is not taken") && strings.Contains(stdout, "functoins")
	}, 10*time.Second, 20*time.Millisecond)
	p.signal()
	require.NoError(t, p.end())
}

// A relay of its own has no functions. What watches its process may ask it all the same.
func TestStatusShowsWhetherARelayIsLed(t *testing.T) {
	at := freeAddress(t)
	p := startCommand(t, "relay", "relay: {apart: true, admin: '"+at+"'}")
	p.says("relay runs")
	var stdout string
	require.Eventually(t, func() (said bool) {
		var err error
		stdout, _, err = try(t, "status", "--admin", at)
		return err == nil && strings.Contains(stdout, "control.sock: ")
	}, 10*time.Second, 20*time.Millisecond)
	require.Regexp(t, "^a relay with 0 instances; no control plane is attached\n.*/control.sock: .*no such file or directory\"?\n$", stdout)
	stdout, _, err := try(t, "status", "--admin", at, "--json")
	require.NoError(t, err)
	var shown struct {
		Role   string
		Uplink admin.UplinkStatus
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &shown))
	require.Equal(t, "relay", shown.Role)
	require.False(t, shown.Uplink.Attached)
	_, _, err = try(t, "status", "--admin", at, "web")
	require.EqualError(t, err, "status: "+at+" is a relay's address: a control plane knows of functions")
	p.signal()
	require.NoError(t, p.end())
}

// The variable that says where a control plane listens says where it is asked, too.
func TestStatusAsksWhereTheVariableSays(t *testing.T) {
	_, port, err := net.SplitHostPort(runs(t))
	require.NoError(t, err)
	var out strings.Builder
	environ := []string{"LAMBDA_DISPATCH_CONTROL_ADMIN_ADDRESS=0.0.0.0:" + port}
	require.NoError(t, run(t.Context(), []string{"status"}, environ, &out, &out))
	require.Contains(t, out.String(), "\nweb ")
}

func TestDrainAndRolloutSayWhatBeginsOrWhyNot(t *testing.T) {
	admin := runs(t)
	for _, args := range [][]string{{"drain", "web"}, {"drain", "--now", "web"}} {
		stdout, _, err := try(t, append(args, "--admin", admin)...)
		require.NoError(t, err, args)
		require.Equal(t, "web is being drained; `lambda-dispatch status web` shows how far it is\n", strings.Replace(stdout, "status --admin "+admin, "status", 1))
		require.Contains(t, stdout, "--admin "+admin, "the same control plane is to be asked")
	}
	stdout, _, err := try(t, "drain", "web", "--json", "--admin", admin)
	require.NoError(t, err)
	require.JSONEq(t, `{"status": "draining"}`, stdout)
	for _, c := range []struct {
		args []string
		says string
		code int
	}{
		{[]string{"drain", "wob"}, `drain: function "wob": not found: there are batch, web`, 1},
		{[]string{"rollout", "wob"}, `rollout: function "wob": not found: there are batch, web`, 1},
		{[]string{"rollout", "--abort", "web"}, "rollout: ", 1},
		{[]string{"rollout", "--hold", "soon", "web"}, `rollout: --hold: must be a duration such as 30s or 1m30s, got "soon"`, 2},
		{[]string{"rollout", "--hold", "2h", "web"}, "rollout: hold: must be between 0s and 1h0m0s, got 2h0m0s", 2},
		{[]string{"rollout", "--steps", "2", "web"}, "rollout: steps[0]: must be above the one before and at most 1, got 2", 2},
		{[]string{"rollout", "--steps", "many", "web"}, `rollout: --steps: must be numbers with commas between them, got "many"`, 2},
		{[]string{"rollout", "--abort", "--hold", "1s", "web"}, "rollout: --abort gives a rollout up", 2},
		{[]string{"rollout"}, "rollout: no FUNCTION given: lambda-dispatch rollout [FLAG]... FUNCTION", 2},
		{[]string{"drain", ""}, "drain: FUNCTION is empty: is a variable not set?", 2},
		{[]string{"drain", "web", "batch"}, `drain: unexpected argument "batch"`, 2},
		{[]string{"status", "--admin", "nowhere"}, `status: --admin: must be host:port, got "nowhere"`, 2},
	} {
		args := c.args
		if c.args[len(c.args)-1] != "nowhere" {
			args = append(args, "--admin", admin)
		}
		stdout, _, err := try(t, args...)
		require.ErrorContains(t, err, c.says)
		require.Equal(t, c.code, exitCode(err), c.args)
		require.Empty(t, stdout)
	}
}

func TestWhereNoControlPlaneAnswersTheErrorSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, args := range [][]string{{"status"}, {"drain", "web"}, {"rollout", "web"}} {
		_, _, err := try(t, append(args, "--admin", l.Addr().String())...)
		require.EqualError(t, err, args[0]+": no control plane or relay answers at "+l.Addr().String()+
			" (connect: connection refused): does it run, and is that its admin.address, of a relay relay.admin? --admin HOST:PORT asks another")
	}
	_, _, err = try(t, "status", "--admin", "an..impossible..name:9900")
	require.ErrorContains(t, err, "status: no control plane or relay answers at an..impossible..name:9900 (lookup an..impossible..name: ")
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	address := stranger.Listener.Addr().String()
	_, _, err = try(t, "status", "--admin", address)
	require.EqualError(t, err, "status: "+address+" answers 404 Not Found: is it a control plane's admin address?")
}

// A control plane that asks for a token gets that of the flag or the variable, and without it the error says what is missing.
func TestATokenIsShown(t *testing.T) {
	token := file(t, "0123456789abcdef\n")
	admin := runs(t, "--set", "admin.token_file="+token)
	_, _, err := try(t, "status", "--admin", admin)
	require.ErrorContains(t, err, "status: a token is needed")
	for _, environ := range [][]string{nil, {"LAMBDA_DISPATCH_CONTROL_ADMIN_TOKEN_FILE=" + token}} {
		args := []string{"status", "--admin", admin}
		if environ == nil {
			args = append(args, "--token-file", token)
		}
		var out strings.Builder
		require.NoError(t, run(t.Context(), args, environ, &out, &out))
		require.Contains(t, out.String(), "\nweb ")
	}
	_, _, err = try(t, "status", "--admin", admin, "--token-file", "/nowhere")
	require.EqualError(t, err, "status: --token-file: open /nowhere: no such file or directory")
}

// Shells that have a syntax check accept their script, and complete commands, functions and the words of flags.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script, _, err := try(t, "completion", shell)
		require.NoError(t, err)
		require.Contains(t, script, program)
		if path, err := exec.LookPath(shell); err == nil && shell != "powershell" {
			check := exec.Command(path, "-n")
			check.Stdin = strings.NewReader(script)
			out, err := check.CombinedOutput()
			require.NoError(t, err, "%s: %s", shell, out)
		}
	}
	for want, args := range map[string][]string{
		"simulate": {"sim"}, "batch": {"drain", "--admin", runs(t), ""}, "jvm": {"simulate", "--preset", ""},
		"eu-central-1\n": {"estimate", "--region", ""}, "nlb\n": {"estimate", "--balancer", ""}, "nat\n": {"estimate", "--network", ""},
	} {
		words, _, err := try(t, append([]string{"__complete"}, args...)...)
		require.NoError(t, err)
		require.Contains(t, words, want)
	}
}

func TestStatusTellsADrainFromARollout(t *testing.T) {
	ended := time.Now().Add(-3 * time.Minute)
	for says, r := range map[string]operator.Rollout{
		"draining, 1 of 2 replaced":                       {From: "1", To: "1", Phase: "starting", Fresh: 1, Want: 2},
		"all instances replaced 3m0s ago":                 {From: "1", To: "1", Phase: "done", EndedAt: &ended},
		"draining was given up: starts fail":              {From: "1", To: "1", Phase: "aborted", Cause: "init_error", Detail: "starts fail", EndedAt: &ended},
		"rollout from 1 to 2: done":                       {From: "1", To: "2", Phase: "done", EndedAt: &ended},
		"rollout from the qualifier's version to 2: done": {From: "the qualifier's version", To: "2", Phase: "done", EndedAt: &ended},
	} {
		var out strings.Builder
		printNotes(&out, operator.Function{Name: "web", Rollout: &r})
		require.Equal(t, "web: "+says+"\n", out.String())
	}
}
