package operator

import "time"

// Recent is what happened last, of all functions, newest first. What is older is forgotten.
type Recent struct {
	Failures []Failure `json:"failures"`
	Waited   []Waited  `json:"waited"`
}

// What failed.
const (
	RequestFailed  = "request"  // a request got no slot
	StartFailed    = "start"    // an instance failed before it served
	InstanceFailed = "instance" // an instance failed later
)

// A Failure is something that failed. Failures that follow each other and are alike are one, with the last one's particulars.
type Failure struct {
	At        time.Time `json:"at"` // the last one
	Function  string    `json:"function"`
	What      string    `json:"what"`  // request, start, instance
	Cause     string    `json:"cause"` // in a client's words for a request, in Lambda's for the others
	Detail    string    `json:"detail"`
	Count     uint64    `json:"count"`
	Instance  string    `json:"instance"`   // empty for requests
	RequestID string    `json:"request_id"` // X-Request-Id; empty for the others
	QueueMS   float64   `json:"queue_ms"`   // how long the request had waited
}

// A Waited is a request that got its slot after a wait.
type Waited struct {
	At        time.Time `json:"at"` // when it got it
	Function  string    `json:"function"`
	RequestID string    `json:"request_id"` // X-Request-Id
	Instance  string    `json:"instance"`
	QueueMS   float64   `json:"queue_ms"`
	Start     string    `json:"start"` // none, warm, cold: the kind of start that it waited for
}
