package wire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrTooLong is wrapped by errors about messages and payloads above their limit.
var ErrTooLong = errors.New("too long")

// ErrNotOurs says that a Lambda event is not an Invocation: it has no lambda_dispatch field.
var ErrNotOurs = errors.New("not an invocation of Lambda Dispatch: no lambda_dispatch field")

// An Encoder writes control messages. It is not safe for concurrent use.
type Encoder struct {
	w io.Writer
}

// NewEncoder returns an Encoder that writes each message to w in one Write.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes m and a newline. An invalid message, or one above MaxMessage, is not written.
func (e *Encoder) Encode(m Message) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	if len(line)+1 > MaxMessage {
		return fmt.Errorf("control message: %w: %d bytes, at most %d", ErrTooLong, len(line)+1, MaxMessage)
	}
	_, err = e.w.Write(append(line, '\n'))
	return err
}

// A Decoder reads control messages. It is not safe for concurrent use.
type Decoder struct {
	r *bufio.Reader
}

// NewDecoder returns a Decoder on r. It reads ahead: nobody else may read r afterwards.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{r: bufio.NewReaderSize(r, MaxMessage)}
}

// Decode blocks until a whole message has come and returns it, valid. The error is io.EOF when the stream ended between
// messages, io.ErrUnexpectedEOF when it ended within one, and wraps a *VersionError for a hello of another version.
// After an error the stream cannot be read any further.
func (d *Decoder) Decode() (Message, error) {
	line, err := d.r.ReadSlice('\n')
	if err != nil {
		return Message{}, streamError(len(line), err)
	}
	return DecodeMessage(line)
}

// DecodeMessage reads one line of a control stream, with or without its newline. The message is valid; the error wraps a
// *VersionError for a hello of another version.
func DecodeMessage(line []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		return Message{}, fmt.Errorf("control message: %w", err)
	}
	if err := m.Validate(); err != nil {
		return Message{}, fmt.Errorf("control message: %w", err)
	}
	return m, nil
}

func streamError(read int, err error) error {
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("control message: %w: more than %d bytes", ErrTooLong, MaxMessage)
	case errors.Is(err, io.EOF) && read > 0:
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}

// DecodeInvocation reads the payload of an invocation or the answer to a registration. The error is ErrNotOurs for any
// other event, and wraps a *VersionError for an invocation of another version.
func DecodeInvocation(data []byte) (Invocation, error) {
	if !ours(data) {
		return Invocation{}, ErrNotOurs
	}
	if field := foreign(data); field != "" {
		return Invocation{}, fmt.Errorf("invocation: %s: this is another sender's event, although it has lambda_dispatch", field)
	}
	return decode[Invocation]("invocation", data)
}

// DecodeRegistration reads the body of a POST to RegisterPath.
func DecodeRegistration(data []byte) (Registration, error) {
	return decode[Registration]("registration", data)
}

// DecodeReport reads the answer of an invocation.
func DecodeReport(data []byte) (Report, error) {
	return decode[Report]("report", data)
}

// ours tells whether data is a JSON object with the field that marks an invocation. An oversized one counts: its error
// should say that it is too long.
func ours(data []byte) bool {
	var mark struct {
		Version json.RawMessage `json:"lambda_dispatch"`
	}
	return json.Unmarshal(data, &mark) == nil && mark.Version != nil
}

// foreignFields are those of other senders' events. No invocation has them, now or later.
var foreignFields = [...]string{"requestContext", "httpMethod", "raw_path", "Records", "detail-type"}

// foreign names a field of another sender's event. An event that has such a field beside lambda_dispatch was not made by a
// control plane: a client of that sender chose a part of it.
func foreign(data []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return ""
	}
	for _, name := range foreignFields {
		if _, ok := fields[name]; ok {
			return name
		}
	}
	return ""
}

func decode[T interface{ Validate() error }](noun string, data []byte) (T, error) {
	var v, zero T
	if len(data) > MaxInvocation {
		return zero, fmt.Errorf("%s: %w: %d bytes, at most %d", noun, ErrTooLong, len(data), MaxInvocation)
	}
	// The version comes first: in another one the other fields may have other types.
	var mark struct {
		Version int `json:"lambda_dispatch"`
	}
	if err := json.Unmarshal(data, &mark); err != nil {
		return zero, fmt.Errorf("%s: %w", noun, err)
	}
	if err := checkVersion(mark.Version); err != nil {
		return zero, fmt.Errorf("%s: %w", noun, err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return zero, fmt.Errorf("%s: %w", noun, err)
	}
	if err := v.Validate(); err != nil {
		return zero, fmt.Errorf("%s: %w", noun, err)
	}
	return v, nil
}
