package wire

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"unicode/utf8"
)

// A VersionError says that the other end speaks a protocol version that this code does not.
type VersionError struct {
	Theirs int
}

// Error names both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("protocol version %d is not supported; this end speaks version %d", e.Theirs, Version)
}

func checkVersion(theirs int) error {
	if theirs != Version {
		return &VersionError{Theirs: theirs}
	}
	return nil
}

// Validate reports everything that is wrong with inv; another version is reported alone, since the other fields may
// then mean something else.
func (inv Invocation) Validate() error {
	if err := checkVersion(inv.Version); err != nil {
		return err
	}
	errs := []error{
		checkID("instance", inv.Instance),
		checkID("function", inv.Function),
		checkToken(inv.Token),
		checkRange("concurrency", inv.Concurrency, 1, MaxSlots),
		checkRange("relays", len(inv.Relays), 1, MaxRelays),
		checkLimit("drain_margin_ms", inv.DrainMargin),
		checkLimit("dial_timeout_ms", inv.DialTimeout),
		checkLimit("drain_limit_ms", inv.DrainLimit),
		checkLimit("linger_ms", inv.Linger),
		checkLimit("half_closed_ms", inv.HalfClosed),
		checkCount("max_requests", inv.MaxRequests),
		checkLimit("max_age_ms", inv.MaxAge),
		inv.Features.Validate(),
	}
	for i, r := range inv.Relays {
		if err := r.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("relays[%d].%w", i, err))
		}
	}
	return errors.Join(errs...)
}

// Validate reports the first thing that is wrong with r.
func (r Relay) Validate() error {
	host, port, err := net.SplitHostPort(r.Address)
	if err != nil || host == "" {
		return fmt.Errorf("address: %.80q is not host:port", r.Address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address: port %.20q is not within 1 and 65535", port)
	}
	if r.TLS && r.Name == "" {
		return errors.New("name: required with tls, the certificate is checked against it")
	}
	return nil
}

// Validate reports everything that is wrong with r; another version is reported alone.
func (r Registration) Validate() error {
	if err := checkVersion(r.Version); err != nil {
		return err
	}
	return errors.Join(checkID("function", r.Function), checkID("environment", r.Environment))
}

// Validate reports everything that is wrong with r; another version is reported alone.
func (r Report) Validate() error {
	if err := checkVersion(r.Version); err != nil {
		return err
	}
	return errors.Join(
		checkID("instance", r.Instance),
		checkReason(r.Reason),
		checkDetail("detail", r.Detail),
		checkCount("requests", r.Requests),
		checkCount("refused", r.Refused),
		checkCount("bytes_in", r.BytesIn),
		checkCount("bytes_out", r.BytesOut),
		checkOptional("worn", string(r.Worn), MaxFeature),
	)
}

// Validate reports everything that is wrong with the fields that m's kind counts. A kind that this code does not know
// is valid: receivers ignore it.
func (m Message) Validate() error {
	var err error
	switch m.Kind {
	case "":
		return errors.New("kind: required")
	case KindHello:
		err = m.validateHello()
	case KindWelcome:
		err = errors.Join(m.validateSender(), checkLimit("start_left_ms", m.StartLeft))
	case KindWaiting:
		err = errors.Join(checkDetail("waiting", m.Waiting), checkRequired("waiting", m.Waiting))
	case KindNotice:
		err = checkWord("notice", string(m.Notice), MaxFeature)
	case KindReady:
		err = checkLimit("left_ms", m.Left)
	case KindLoad:
		err = errors.Join(checkRange("in_flight", m.InFlight, 0, MaxSlots), checkCount("requests", m.Requests), checkCount("answers", m.Answers),
			checkCount("errors", m.Errors), checkCount("memory", m.Memory))
	case KindDrain:
		err = errors.Join(checkReason(m.Reason), checkDetail("detail", m.Detail))
	case KindGoodbye:
		err = m.validateGoodbye()
	case KindRefused:
		err = checkDetail("detail", m.Detail)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.Kind, err)
	}
	return nil
}

func (m Message) validateHello() error {
	if err := checkVersion(m.Version); err != nil {
		return err
	}
	return errors.Join(
		checkID("instance", m.Instance),
		checkID("environment", m.Environment),
		checkRange("slots", m.Slots, 1, MaxSlots),
		checkLimit("left_ms", m.Left),
		checkOptional("function_version", m.FunctionVersion, MaxID),
		checkDetail("waiting", m.Waiting),
		checkOptional("request_id", m.RequestID, MaxID),
		checkOptional("log_stream", m.LogStream, MaxID),
		m.validateSender(),
	)
}

// validateSender checks what both ends say of themselves.
func (m Message) validateSender() error {
	return errors.Join(checkOptional("build", m.Build, MaxBuild), m.Features.Validate())
}

func (m Message) validateGoodbye() error {
	if m.Report == nil {
		return errors.New("report: required")
	}
	if err := m.Report.Validate(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func checkID(field, s string) error { return checkWord(field, s, MaxID) }

func checkOptional(field, s string, most int) error {
	if s == "" {
		return nil
	}
	return checkWord(field, s, most)
}

// checkWord holds names to printable ASCII, so that they can go into logs, headers and metrics unquoted.
func checkWord(field, s string, most int) error {
	if s == "" {
		return fmt.Errorf("%s: required", field)
	}
	if len(s) > most {
		return fmt.Errorf("%s: %d bytes, at most %d", field, len(s), most)
	}
	if !visible(s) {
		return fmt.Errorf("%s: %.80q holds a space or an unprintable character", field, s)
	}
	return nil
}

// checkToken never repeats the token in its error.
func checkToken(s string) error {
	switch {
	case s == "":
		return errors.New("token: required")
	case len(s) > MaxToken:
		return fmt.Errorf("token: %d bytes, at most %d", len(s), MaxToken)
	case !visible(s):
		return errors.New("token: holds a space or an unprintable character")
	}
	return nil
}

func checkReason(r Reason) error { return checkID("reason", string(r)) }

func checkDetail(field, s string) error {
	if len(s) > MaxDetail {
		return fmt.Errorf("%s: %d bytes, at most %d", field, len(s), MaxDetail)
	}
	return nil
}

func checkRequired(field, s string) error {
	if s == "" {
		return fmt.Errorf("%s: required", field)
	}
	return nil
}

func checkRange(field string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: %d is not within %d and %d", field, n, low, high)
	}
	return nil
}

func checkCount(field string, n int64) error {
	if n < 0 {
		return fmt.Errorf("%s: %d is negative", field, n)
	}
	return nil
}

func checkLimit(field string, m Millis) error {
	if m < 0 || m > MaxLimit {
		return fmt.Errorf("%s: %v is not within 0s and %v", field, m, MaxLimit)
	}
	return nil
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// CutDetail shortens s to at most MaxDetail bytes without splitting a character, for a Detail that holds an error's text.
func CutDetail(s string) string {
	if len(s) <= MaxDetail {
		return s
	}
	n := MaxDetail
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
