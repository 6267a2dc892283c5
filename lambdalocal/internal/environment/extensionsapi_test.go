package environment

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// external extensions in tests are processes named sleep; internal ones have any other name.
func withExternal(c *Config) {
	c.Extensions = []Extension{{Name: "sleep", Argv: []string{"sleep", "1000"}}}
}

func named(name string) http.Header { return http.Header{"Lambda-Extension-Name": {name}} }

func identified(id string) http.Header { return http.Header{"Lambda-Extension-Identifier": {id}} }

func (s *stage) register(name, events string) (id http.Header) {
	s.t.Helper()
	r := s.call("POST", extensionPath+"register", named(name), `{"events":`+events+`}`)
	require.Equal(s.t, http.StatusOK, r.code, r.body)
	return identified(r.header.Get("Lambda-Extension-Identifier"))
}

// extended is a stage at the end of init, with an external extension that wants all events.
func extended(t *testing.T) (s *stage, id http.Header, event, next <-chan reply) {
	t.Helper()
	s = newStage(t, withExternal)
	initialized := s.begin()
	id = s.register("sleep", `["INVOKE","SHUTDOWN"]`)
	event = s.async("GET", extensionPath+"event/next", id)
	s.eventuallyBoot("command", func(b *boot) bool { return len(b.processes) == 2 })
	next = s.next()
	<-initialized
	require.True(t, s.Alive())
	return s, id, event, next
}

func TestRegistrationSaysWhatTheFunctionIs(t *testing.T) {
	s := newStage(t, withExternal)
	s.begin()
	header := named("sleep")
	header.Set("Lambda-Extension-Accept-Feature", "other, accountId")
	r := s.call("POST", extensionPath+"register", header, `{"events":["INVOKE"]}`)
	require.JSONEq(t, `{"functionName":"web","functionVersion":"$LATEST","handler":"app.handler","accountId":"123456789012"}`, r.body)
	require.True(t, uuid.Valid(r.header.Get("Lambda-Extension-Identifier")))

	r = s.call("POST", extensionPath+"register", named("internal"), `{}`)
	require.JSONEq(t, `{"functionName":"web","functionVersion":"$LATEST","handler":"app.handler"}`, r.body)
}

// What is too large is refused, whichever API gets it.
func TestALargeRequestIsRefused(t *testing.T) {
	s := newStage(t, withExternal)
	s.begin()
	large := `"` + strings.Repeat("x", maxRequest) + `"`
	id := s.register("sleep", `[]`)
	for path, r := range map[string]reply{
		"register":  s.call("POST", extensionPath+"register", named("internal"), large),
		"telemetry": s.call("PUT", telemetryPath, id, large),
		"logs":      s.call("PUT", "/2020-08-15/logs", id, large),
		"init":      s.call("POST", initErrorPath, nil, strings.Repeat("x", maxAnswer+1)),
	} {
		require.Equal(t, http.StatusRequestEntityTooLarge, r.code, path)
		require.Equal(t, "RequestEntityTooLarge", r.errorBody(t).Type, path)
	}
	require.True(t, s.Alive())
}

func TestAnExtensionGetsEveryEvent(t *testing.T) {
	s, id, event, next := extended(t)
	result := s.invoke(Invocation{ARN: "arn", TraceID: "Root=1"})
	r := <-event
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.True(t, uuid.Valid(r.header.Get("Lambda-Extension-Event-Identifier")))
	require.Regexp(t, `^{"eventType":"INVOKE","deadlineMs":[0-9]{13},"requestId":"id-1","invokedFunctionArn":"arn","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}\s$`, r.body)
	<-next
	require.Equal(t, http.StatusAccepted, s.call("POST", idPath+"response", nil, "{}").code)
	next = s.next()
	s.eventuallyBoot("idle runtime", func(b *boot) bool { return b.runtimeIdleLocked() })
	select {
	case <-result:
		require.Fail(t, "the invocation lasts until the extension is done")
	default:
	}
	event = s.async("GET", extensionPath+"event/next", id)
	require.Equal(t, Succeeded, (<-result).Outcome)

	went := make(chan struct{})
	go func() { defer close(went); s.Shutdown(Spindown) }()
	require.Regexp(t, `^{"eventType":"SHUTDOWN","deadlineMs":[0-9]{13},"shutdownReason":"spindown"}\s$`, (<-event).body)
	<-went
	require.Empty(t, s.PIDs())
	<-next
	require.Contains(t, s.log.text(), "EXTENSION\tName: sleep\tState: Ready\tEvents: [INVOKE, SHUTDOWN]")
}

func TestTheCommandEndsBeforeTheExtensionsLearnOfIt(t *testing.T) {
	s, _, event, _ := extended(t)
	b := s.current()
	command := b.children()[1]
	go s.Shutdown(Timeout)
	require.Contains(t, (<-event).body, `"shutdownReason":"timeout"`)
	select {
	case <-command.Done():
	default:
		require.Fail(t, "the command still runs")
	}
}

// Each case ends an environment in its own grace time; what it cannot be is bounded from below only.
func TestGraceTimes(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*Config)
		register func(*stage) http.Header
		least    time.Duration
	}{
		"without extensions":                            {nil, nil, 0},
		"internal extension":                            {nil, func(s *stage) http.Header { return s.register("internal", `[]`) }, graceWithInternal},
		"external extension":                            {withExternal, func(s *stage) http.Header { return s.register("sleep", `["SHUTDOWN"]`) }, graceWithExternal},
		"external extension that does not want to know": {withExternal, func(s *stage) http.Header { return s.register("sleep", `["INVOKE"]`) }, 600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(cfg *Config) {
				cfg.Command = []string{"sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"}
				if c.change != nil {
					c.change(cfg)
				}
			})
			initialized := s.begin()
			if c.register != nil {
				s.async("GET", extensionPath+"event/next", c.register(s))
			}
			s.eventually("trap", func() bool { return strings.Contains(s.log.text(), "up") })
			s.next()
			<-initialized
			began := time.Now()
			s.Shutdown(Spindown)
			require.GreaterOrEqual(t, time.Since(began), c.least)
			require.True(t, s.Alive(), "it may be invoked again")
		})
	}
}

// Misuse of the Extensions API, by the state in which it happens.
func TestMisuseOfTheExtensionsAPI(t *testing.T) {
	type given func(*testing.T) (*stage, http.Header)
	started := func(t *testing.T) (*stage, http.Header) { s := newStage(t, withExternal); s.begin(); return s, nil }
	registered := func(t *testing.T) (*stage, http.Header) {
		s, _ := started(t)
		return s, s.register("sleep", `[]`)
	}
	waiting := func(t *testing.T) (*stage, http.Header) { s, id, _, _ := extended(t); return s, id }
	crowded := func(t *testing.T) (*stage, http.Header) {
		s, _ := started(t)
		for _, name := range strings.Split("abcdefghij", "") {
			s.register(name, `[]`)
		}
		return s, nil
	}
	const unknownID = "01234567-89ab-4def-8123-456789abcdef"
	const notAllowed = ". Error: State transition is not allowed"
	register, eventNext, initError, exitError := extensionPath+"register", extensionPath+"event/next", extensionPath+"init/error", extensionPath+"exit/error"
	for name, c := range map[string]struct {
		given        given
		path         string
		header       http.Header // nil: the extension's own
		body         string
		kind, prefix string
	}{
		"no name":                   {started, register, named(""), `{}`, "Extension.InvalidExtensionName", "Empty extension name"},
		"no JSON":                   {started, register, named("sleep"), `nonsense`, "InvalidRequestFormat", "invalid character"},
		"configuration keys":        {started, register, named("sleep"), `{"configurationKeys":["x"]}`, "InvalidRequestFormat", "configurationKeys are deprecated"},
		"unknown event":             {started, register, named("sleep"), `{"events":["NAP"]}`, "Extension.InvalidEventType", "NAP: ErrorInvalidEventType"},
		"internal wants SHUTDOWN":   {started, register, named("internal"), `{"events":["SHUTDOWN"]}`, "Extension.InvalidEventType", "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"},
		"another file's name":       {started, register, named("slept"), `{"events":["SHUTDOWN"]}`, "Extension.InvalidEventType", "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"},
		"registered twice":          {registered, register, named("sleep"), `{}`, "Extension.InvalidExtensionState", "State transition from Registered to Registered failed for extension sleep" + notAllowed},
		"internal registered twice": {crowded, register, named("a"), `{}`, "Extension.InvalidExtensionState", "Extension with this name already registered"},
		"eleventh":                  {crowded, register, named("k"), `{}`, "Extension.TooManyExtensions", "Extension limit (10) reached"},
		"after init":                {waiting, register, named("late"), `{}`, "Extension.RegistrationClosed", "Extension registration closed already"},
		"no identifier":             {started, eventNext, http.Header{}, "", "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"},
		"identifier is no UUID":     {started, eventNext, identified("x"), "", "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"},
		"identifier of nobody":      {started, eventNext, identified(unknownID), "", "Extension.UnknownExtensionIdentifier", "Unknown extension " + unknownID},
		"next twice":                {waiting, eventNext, nil, "", "Extension.InvalidExtensionState", "State transition from Ready to Ready failed for extension "},
		"init error without type":   {registered, initError, nil, "{}", "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"},
		"exit error without type":   {registered, exitError, nil, "{}", "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"},
		"init error after init":     {waiting, initError, http.Header{extensionErrorType: {"X"}}, "{}", "Extension.InvalidExtensionState", "State transition from Ready to InitError failed for extension "},
		"init error of nobody":      {started, initError, identified(unknownID), "{}", "Extension.UnknownExtensionIdentifier", "Unknown extension"},
		"telemetry of nobody":       {started, telemetryPath, identified(unknownID), "{}", "Extension.UnknownExtensionIdentifier", "Unknown extension"},
		"telemetry after init":      {waiting, telemetryPath, nil, "{}", "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, id := c.given(t)
			header := c.header
			if header == nil {
				header = id
			} else if len(header[extensionErrorType]) > 0 {
				header = header.Clone()
				header.Set(identifierHeader, id.Get(identifierHeader))
			}
			method := "POST"
			switch c.path {
			case eventNext:
				method = "GET"
			case telemetryPath:
				method = "PUT"
			}
			r := s.call(method, c.path, header, c.body)
			require.Equal(t, http.StatusForbidden, r.code, r.body)
			body := r.errorBody(t)
			require.Equal(t, c.kind, body.Type)
			require.True(t, strings.HasPrefix(body.Message, c.prefix), body.Message)
			require.True(t, s.current().failure() == nil, "misuse is refused and harms nothing")
		})
	}
}

func TestAnExtensionMayEndTheEnvironment(t *testing.T) {
	t.Run("in init", func(t *testing.T) {
		s := newStage(t, withExternal)
		initialized := s.begin()
		id := s.register("sleep", `[]`)
		id.Set(extensionErrorType, "Mine.NoConfig")
		require.Equal(t, http.StatusAccepted, s.call("POST", extensionPath+"init/error", id, "{}").code)
		<-initialized
		require.Contains(t, s.log.text(), "Phase: init\tStatus: error\tError Type: Extension.InitError")
	})
	t.Run("and the API is there until it is told so", func(t *testing.T) {
		s := newStage(t, withExternal)
		initialized := s.begin()
		id := s.register("sleep", `[]`)
		b := s.current()
		id.Set(extensionErrorType, "Mine.NoConfig")
		r := httptest.NewRequest("POST", "/", http.NoBody)
		r.Header = id
		w := &held{ResponseRecorder: httptest.NewRecorder(), before: func() {
			require.Never(t, func() bool { return closed(b) }, 100*time.Millisecond, time.Millisecond)
		}}
		b.extensionError(extensionInitError)(w, r)
		<-initialized
		require.Equal(t, http.StatusAccepted, w.Code)
		require.Eventually(t, func() bool { return closed(b) }, soon, time.Millisecond)
	})
	t.Run("in an invocation", func(t *testing.T) {
		s, id, event, _ := extended(t)
		result := s.invoke(Invocation{})
		<-event
		id.Set(extensionErrorType, "Mine.Broken")
		require.Equal(t, http.StatusAccepted, s.call("POST", extensionPath+"exit/error", id, "{}").code)
		r := <-result
		require.Equal(t, Crashed, r.Outcome)
		require.JSONEq(t, `{"errorType":"Extension.ExitError","errorMessage":"RequestId: id-1 Error: extension sleep: Mine.Broken"}`, string(r.Payload))
	})
	t.Run("by its death", func(t *testing.T) {
		s, _, event, _ := extended(t)
		result := s.invoke(Invocation{})
		<-event
		s.current().children()[0].Group.Kill()
		r := <-result
		require.JSONEq(t, `{"errorType":"Extension.Crash","errorMessage":"RequestId: id-1 Error: signal: killed"}`, string(r.Payload))
		require.False(t, s.Alive())
	})
	t.Run("by not existing", func(t *testing.T) {
		s := newStage(t, func(c *Config) { c.Extensions = []Extension{{Name: "x", Argv: []string{"./does-not-exist"}}} })
		r := <-s.invoke(Invocation{})
		require.Equal(t, "Extension.LaunchError", r.ErrorType)
	})
}

// held is a response that something goes before.
type held struct {
	*httptest.ResponseRecorder
	before func()
}

func (h *held) WriteHeader(status int) {
	h.before()
	h.ResponseRecorder.WriteHeader(status)
}

func closed(b *boot) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
