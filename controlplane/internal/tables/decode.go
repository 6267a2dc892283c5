package tables

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// DecodeDesired decodes a leader's message. It ignores unknown fields. The error names every field that is wrong.
func DecodeDesired(data []byte) (Desired, error) { return decode[Desired]("desired", data) }

// DecodeObserved decodes a relay's message. It ignores unknown fields. The error names every field that is wrong.
func DecodeObserved(data []byte) (Observed, error) { return decode[Observed]("observed", data) }

func decode[T interface{ Validate() error }](noun string, data []byte) (message T, err error) {
	if len(data) > MaxMessage {
		return message, fmt.Errorf("%s: %d bytes, at most %d", noun, len(data), MaxMessage)
	}
	if err = json.Unmarshal(data, &message); err == nil {
		err = message.Validate()
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", noun, err)
	}
	return message, nil
}

// Validate reports everything that is wrong with d.
func (d Desired) Validate() error {
	errs := []error{checkRequired("term", d.Term > 0), checkOptional("leader", d.Leader, wire.MaxID)}
	for i, w := range d.Wants {
		errs = append(errs, within("wants", i, w.validate()))
	}
	for i, n := range d.Notes {
		errs = append(errs, within("notes", i, n.validate()))
	}
	return errors.Join(errs...)
}

// within adds to an error where in a list it is.
func within(list string, i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s[%d]: %w", list, i, err)
}

func (w Want) validate() error {
	errs := []error{
		checkRequired("number", w.Number > 0), checkWord("instance", w.Instance, wire.MaxID),
		checkOptional("drain", string(w.Drain), wire.MaxID),
	}
	if w.Expect != nil {
		errs = append(errs, w.Expect.validate(w.Instance))
	}
	return errors.Join(errs...)
}

func (e Expectation) validate(instance string) error {
	if e.Instance != instance {
		return fmt.Errorf("expect: instance: %.80q is not the want's", e.Instance)
	}
	return errors.Join(
		checkWord("expect: function", e.Function, wire.MaxID), checkWord("expect: endpoint", e.Endpoint, wire.MaxID),
		checkSize("expect: memo", len(e.Memo), MaxMemo), checkDollars(e.Dollars),
	)
}

func (n Note) validate() error {
	return errors.Join(checkWord("function", n.Function, wire.MaxID), checkSize("text", len(n.Text), MaxNote))
}

// Validate reports everything that is wrong with o.
func (o Observed) Validate() error {
	var errs []error
	if o.Hello != nil {
		errs = append(errs, o.Hello.validate())
	}
	for i, n := range o.Notes {
		errs = append(errs, within("notes", i, n.validate()))
	}
	for i, one := range o.Instances {
		errs = append(errs, within("instances", i, one.validate()))
	}
	for i, l := range o.Loads {
		errs = append(errs, within("loads", i, l.validate()))
	}
	for i, id := range o.Refused {
		errs = append(errs, within("refused", i, checkWord("instance", id, wire.MaxID)))
	}
	return errors.Join(errs...)
}

func (h Hello) validate() error {
	errs := []error{
		checkWord("hello: relay", h.Relay, wire.MaxID), checkWord("hello: boot", h.Boot, wire.MaxID),
		checkSize("hello: dial", len(h.Dial), wire.MaxRelays), checkSize("hello: sockets", len(h.Sockets), wire.MaxID),
		checkSize("hello: build", len(h.Build), wire.MaxBuild), h.Features.Validate(),
	}
	for i, r := range h.Dial {
		errs = append(errs, within("hello: dial", i, r.Validate()))
	}
	return errors.Join(errs...)
}

func (i Instance) validate() error {
	errs := []error{
		checkWord("id", i.ID, wire.MaxID), checkWord("function", i.Function, wire.MaxID), checkWord("endpoint", i.Endpoint, wire.MaxID),
		checkWord("phase", string(i.Phase), wire.MaxFeature), checkSize("memo", len(i.Memo), MaxMemo), checkDollars(i.Dollars),
		checkOptional("environment", i.Environment, wire.MaxID), checkRange("slots", i.Slots, wire.MaxSlots),
		checkSize("what", len(i.What), wire.MaxDetail), checkSize("why", len(i.Why), wire.MaxDetail),
		checkOptional("notice", string(i.Notice), wire.MaxFeature), checkOptional("leaves", string(i.Leaves), wire.MaxID),
		checkOptional("drain", string(i.Drain), wire.MaxID), i.Peer.validate(),
	}
	if i.Phase == PhaseEnded {
		errs = append(errs, checkRequired("end", i.End != nil))
	}
	if i.Load != nil {
		errs = append(errs, i.Load.validate())
	}
	if i.End != nil {
		errs = append(errs, i.End.validate())
	}
	return errors.Join(errs...)
}

func (p Peer) validate() error {
	return errors.Join(
		checkSize("peer: build", len(p.Build), wire.MaxBuild), p.Features.Validate(),
		checkOptional("peer: function_version", p.FunctionVersion, wire.MaxID),
		checkOptional("peer: request_id", p.RequestID, wire.MaxID), checkOptional("peer: log_stream", p.LogStream, wire.MaxID),
	)
}

func (l Load) validate() error {
	return errors.Join(checkWord("load: instance", l.Instance, wire.MaxID), checkRange("load: in_flight", l.InFlight, wire.MaxSlots))
}

func (e End) validate() error {
	if e.Report != nil {
		return e.Report.Validate()
	}
	return errors.Join(checkWord("end: cause", string(e.Cause), wire.MaxFeature), checkSize("end: detail", len(e.Detail), wire.MaxDetail))
}
