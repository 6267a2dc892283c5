package page_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

var update = flag.Bool("update", false, "take the pictures of the documents anew")

// A browser is a real one, with one tab.
type browser struct {
	t   *testing.T
	tab context.Context
}

// openBrowser starts Chromium, or skips the test where there is none.
func openBrowser(t *testing.T) browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no chromium here: the page is not looked at in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1200, 900))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	tab, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	b := browser{t, tab}
	require.NoError(t, chromedp.Listen(tab, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("the page throws: %s", e.ExceptionDetails.Exception.Description)
		}
	}))
	return b
}

// open opens the page of an admin address.
func (b browser) open(address string) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.tab, chromedp.Navigate("http://"+address+"/")))
}

// shows waits until the text of what a selector finds is as it should be.
func (b browser) shows(selector, text string) {
	b.t.Helper()
	b.holds(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.checkVisibility() && e.innerText.includes(%q))", selector, text))
}

// holds waits until an expression is true in the page.
func (b browser) holds(expression string) {
	b.t.Helper()
	last := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		is, err := chromedp.Run(b.tab, chromedp.Evaluate[bool](expression))
		if err == nil && is {
			return
		}
		if err != nil {
			last = err.Error()
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := chromedp.Run(b.tab, chromedp.Evaluate[string]("document.body.innerText"))
	b.t.Fatalf("never so: %s (%s); the page shows:\n%s", expression, last, text)
}

func (b browser) click(selector string) {
	b.t.Helper()
	b.holds(fmt.Sprintf("document.querySelector(%q) !== null", selector))
	require.NoError(b.t, chromedp.Do(b.tab, chromedp.Click(selector)))
}

// enter types a line into a field.
func (b browser) enter(selector, text string) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.tab, chromedp.SendKeys(selector, text+"\r")))
}

// view is as wide as a window or a phone, in light or dark.
func (b browser) view(width int64, dark bool) {
	b.t.Helper()
	b.window(width, 900, dark)
}

func (b browser) window(width, height int64, dark bool) {
	b.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	scale := 1.0
	if width < 600 {
		scale = 2
	}
	require.NoError(b.t, chromedp.Do(b.tab, chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		})))
}

// serve opens an admin address over a scene.
func serve(t *testing.T, s *scene, change func(*admin.Options)) string {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	o := admin.Options{Address: "127.0.0.1:0", Version: "v0.9.0", Log: log, Ready: func() admin.Readiness { return admin.Readiness{Envoys: 2} }}
	if s != nil {
		o.Source = s
	}
	if change != nil {
		change(&o)
	}
	server, err := admin.New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
	return server.Address()
}

func TestThePageShowsWhatGoesOn(t *testing.T) {
	b, s := openBrowser(t), busy()
	b.open(serve(t, s, leads))
	b.shows(".top", "leader")
	b.shows(".fact", "edge-a, edge-b")
	b.shows("h2", "checkout")
	b.shows(".number", "of 230")
	b.shows(".number", "81 % saved against plain Lambda")
	b.shows(".number", "15 % dearer than plain Lambda")
	b.shows(".pill", "no more starts: throttled account")
	b.shows(".note", "the last failure: Rate Exceeded.")
	b.shows(".rollout", "2 of 8 instances run 13")
	b.shows(".fresh", "live")
	b.holds("document.querySelectorAll('.tile').length === 26 + 10 + 2")
	b.holds("document.querySelectorAll('.function:first-child .cell.foreign').length === 2")

	b.shows(".failures", "connect ECONNREFUSED 10.0.3.8:5432")
	b.shows(".failures .pill", "queue full × 7")
	b.shows(".table", "2140 ms, cold start")
	b.click(".tile[data-id='checkout-0024']")
	b.shows(".instance", "its app: GET / is answered with 503")
	b.click(".tile[data-id='checkout-0005']")
	b.shows(".instance", "5f1c-5")
	b.click(".tile[data-id='checkout-0005']")
	b.holds("document.querySelector('.instance').hidden")
}

// What the API says may come from an app, which may say anything.
func TestWhatAppsSayStaysText(t *testing.T) {
	const nasty = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>`
	b, s := openBrowser(t), busy()
	s.change(func(s *scene) {
		s.step = nil
		s.functions[0].Name, s.functions[0].Blocked, s.functions[0].BlockedDetail = nasty, nasty, nasty
		s.functions[0].StartFailures = map[string]uint64{nasty: 1}
		one := ready(nasty, 1, 1, 0, 2)
		one.WaitsFor, one.State = nasty, nasty
		s.instances = []operator.Instance{one}
		s.recent = operator.Recent{
			Failures: []operator.Failure{{Function: nasty, Cause: nasty, Detail: nasty, What: nasty, RequestID: nasty}},
			Waited:   []operator.Waited{{Function: nasty, RequestID: nasty, Start: nasty}},
		}
	})
	b.open(serve(t, s, nil))
	b.shows("h2", nasty)
	b.shows(".note", nasty)
	b.click(".tile")
	b.shows(".instance", nasty)
	b.holds("document.title !== 'run' && !document.querySelector('main img, main script')")
}

func TestAControlPlaneThatIsGone(t *testing.T) {
	b, s := openBrowser(t), busy()
	address := ""
	t.Run("while it runs", func(t *testing.T) {
		address = serve(t, s, nil)
		b.open(address)
		b.shows("h2", "checkout")
	})
	b.shows("#trouble", "The control plane is gone: it cannot be reached.")
	b.shows("#trouble", "What you see is of ")
	b.shows("h2", "checkout")
	serve(t, s, func(o *admin.Options) { o.Address = address })
	b.holds("document.getElementById('trouble').hidden && !document.body.classList.contains('stale')")
}

func TestThePageAsksForTheToken(t *testing.T) {
	b := openBrowser(t)
	address := serve(t, busy(), func(o *admin.Options) { o.Token = func() string { return "a-token-of-sixteen" } })
	b.open(address)
	b.shows("#login", "This address asks for a token")
	b.holds("document.getElementById('refused').hidden")
	b.enter("#token", "another-of-sixteen")
	b.shows("#refused", "The token is not the right one.")
	b.enter("#token", "a-token-of-sixteen")
	b.shows("h2", "checkout")
	b.open(address)
	b.shows("h2", "checkout") // the tab has kept it
	b.holds("document.getElementById('login').hidden && document.cookie === ''")
}

func TestNothingToShow(t *testing.T) {
	b := openBrowser(t)
	b.open(serve(t, &scene{}, func(o *admin.Options) {
		o.Ready = func() admin.Readiness { return admin.Readiness{Reason: "no Envoy is connected"} }
	}))
	b.shows("#empty", "No function is configured.")
	b.shows(".note", "Not ready: no Envoy is connected.")

	b.open(serve(t, &scene{functions: []operator.Function{{Name: "web", Provider: "lambda", Frozen: 2}}}, nil))
	b.shows(".pill", "at rest")
	b.shows(".note", "No instance runs, and nothing is billed. The next request starts one. Lambda probably keeps 2 environments frozen")

	b.open(serve(t, &scene{functions: []operator.Function{{
		Name: "web", Provider: "lambda", QueueDepth: 29, Blocked: "denied", BlockedDetail: "starts fail: denied",
	}}}, nil))
	b.shows(".pill", "no start: denied")
	b.shows(".note", "starts fail: denied")
	b.holds("document.querySelectorAll('.function .note').length === 1") // not that the next request starts one

	b.open(serve(t, nil, func(o *admin.Options) {
		o.Uplink = func() admin.UplinkStatus { return admin.UplinkStatus{Term: 4, Attached: true, Instances: 31} }
		o.Relay = func() admin.RelayStatus { return admin.RelayStatus{IdleTunnels: 9, ControlStreams: 4} }
	}))
	b.shows("#empty", "A relay knows no functions.")
	b.shows(".fact", "highest term seen: 4")
}

// read is a configuration that was read like this.
type read admin.Reload

func (r read) Reload(string) admin.Reload { return r.Last() }
func (r read) Last() admin.Reload         { return admin.Reload(r) }

func TestThePageTellsOfTheConfiguration(t *testing.T) {
	b, now := openBrowser(t), time.Now()
	leaving := &scene{functions: []operator.Function{{Name: "old", Provider: "lambda", Leaving: true, Draining: 1}}}
	b.open(serve(t, leaving, func(o *admin.Options) {
		o.Reloader = read{At: now, TakenAt: now.Add(-3 * time.Hour), Changed: []string{"functions.old"}, Restart: []string{"admin.address"}, Refused: "line 7: no"}
	}))
	b.shows(".fact", "3 h old")
	b.shows(".fact", "changed last: functions.old")
	b.shows(".note", "is not used; the one before is: line 7: no")
	b.shows(".note", "used after a restart: admin.address.")
	b.shows(".pill", "leaves")
	b.shows(".note", "gone when its last request and instance have ended")
}

func TestThePageTellsThatTheLeaseFails(t *testing.T) {
	b := openBrowser(t)
	b.open(serve(t, busy(), func(o *admin.Options) {
		o.Leader = func() admin.LeaderStatus {
			return admin.LeaderStatus{Leads: true, Term: 4, Lease: admin.LeaseStatus{Age: 90 * time.Second, Detail: "no space left on device"}}
		}
	}))
	b.shows(".note", "The lease has not been read or renewed for 90 s: no space left on device. This control plane leads on while its relays answer it")
}

// Notes are of what is, or was a moment ago: what a port scanner did at night is no note in the morning. A failure of another day says so.
func TestNotesEndAndTimesHaveDays(t *testing.T) {
	b, s, now := openBrowser(t), busy(), time.Now()
	s.change(func(s *scene) {
		s.step, s.functions[0].BlockedDetail = nil, strings.Repeat("an error that has no end and no blank-", 300)
		s.recent.Failures = []operator.Failure{{Function: s.functions[0].Name, At: now.Add(-50 * time.Hour), Cause: "crashed", What: operator.StartFailed}}
	})
	b.view(360, false)
	b.open(serve(t, s, func(o *admin.Options) {
		o.Relay = func() admin.RelayStatus {
			return admin.RelayStatus{
				Refused:   map[string]uint64{"token_forged": 3, "silent": 70, "unknown_path": 0},
				RefusedAt: map[string]time.Time{"token_forged": now.Add(-2 * time.Minute), "silent": now.Add(-3 * time.Hour)},
			}
		}
	}))
	b.shows("#notes .note", "The relay has refused 3 connections so far, the last one 2 min ago: token forged.")
	b.holds("document.querySelectorAll('#notes .note').length === 1")
	b.holds(fmt.Sprintf("document.querySelector('.failures time').innerText.includes('%d')", now.Add(-50*time.Hour).Day()))
	b.holds("document.querySelector('.function .note').offsetHeight < 200")
	b.holds("document.documentElement.scrollWidth <= window.innerWidth")
}

func TestAThousandInstances(t *testing.T) {
	b, s := openBrowser(t), &scene{functions: []operator.Function{checkout()}}
	for n := range 1000 {
		s.instances = append(s.instances, ready("checkout", n, n%11, 0, 10))
	}
	b.view(1200, false)
	b.open(serve(t, s, nil))
	b.holds("document.querySelectorAll('.tile').length === 1000")
	b.holds("document.querySelectorAll('*').length < 1500")
	s.change(func(s *scene) { s.instances = s.instances[1:] })
	b.holds("document.querySelectorAll('.tile').length === 999")
	b.click(".tile[data-id='checkout-0999']")
	b.shows(".instance", "checkout/0999")
}

// With many functions each is one line at first.
func TestManyFunctions(t *testing.T) {
	b, s := openBrowser(t), &scene{}
	for n := range 40 {
		f := checkout()
		f.Name = fmt.Sprintf("function-%02d", n)
		s.functions = append(s.functions, f)
	}
	s.functions[38].Blocked = "crashed"
	s.functions[5].Blocked, s.functions[5].Ready = "max", 2
	b.open(serve(t, s, nil))
	b.shows("h2", "function-39")
	b.holds("document.querySelectorAll('details[open]').length === 0")
	b.shows("#stuck .bad", "No start: function-38 (crashed)")
	b.shows("#stuck .warn", "No more starts: function-05 (max)")
	b.click("#stuck .bad a")
	b.holds("document.querySelector('details:nth-child(39)').open && scrollY > 0")
	s.change(func(s *scene) { s.functions[38].Blocked, s.functions[5].Blocked = "", "" })
	b.holds("document.querySelectorAll('#stuck p').length === 0")
	b.click("details:nth-child(3) summary")
	b.shows(".number", "81 % saved")
}

func TestAPhoneScrollsDownOnly(t *testing.T) {
	b, s := openBrowser(t), busy()
	s.change(func(s *scene) { s.functions[1].Name = strings.Repeat("long", 10) })
	b.view(360, true)
	b.open(serve(t, s, leads))
	b.shows("h2", "checkout")
	b.holds("document.documentElement.scrollWidth <= window.innerWidth")
}

// Nothing is fetched from elsewhere, and nothing needs what the policy forbids.
func TestThePageIsWhole(t *testing.T) {
	address := serve(t, &scene{}, nil)
	get := func(path, accept string) (*http.Response, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		require.NoError(t, err)
		request.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer, string(body)
	}
	answer, html := get("/", "text/html,*/*;q=0.8")
	require.Equal(t, "text/html; charset=utf-8", answer.Header.Get("Content-Type"))
	require.Contains(t, answer.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; style-src 'self';")
	require.NotRegexp(t, `(?i)\son[a-z]+=|style=|javascript:|https?://`, html)
	files, err := filepath.Glob("*.*")
	require.NoError(t, err)
	for _, file := range files {
		if !slices.Contains([]string{".js", ".css", ".svg"}, filepath.Ext(file)) {
			continue
		}
		answer, text := get("/page/"+file, "*/*")
		require.Equal(t, http.StatusOK, answer.StatusCode, file)
		require.NotContains(t, text, "innerHTML", file)
		require.NotRegexp(t, `https?://|@import|url\(`, strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), file)
	}
	answer, text := get("/", "*/*")
	require.Equal(t, "text/plain; charset=utf-8", answer.Header.Get("Content-Type"))
	require.Contains(t, text, "GET  /healthz")
	answer, _ = get("/page/page_test.go", "*/*")
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
}

// leads is a control plane that leads, with two relays.
func leads(o *admin.Options) {
	o.Leader = func() admin.LeaderStatus {
		return admin.LeaderStatus{Leads: true, Term: 4, Relays: []string{"edge-a", "edge-b"}}
	}
	o.Files = func() admin.FilesStatus {
		return admin.FilesStatus{Expires: map[string]time.Time{"listener/front": time.Now().Add(61 * 24 * time.Hour)}}
	}
}
