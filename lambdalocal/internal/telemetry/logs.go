package telemetry

import (
	"encoding/json"
	"slices"
)

// The Logs API, which Lambda had before and still serves: fewer events, with fewer fields. Source: "Using the Lambda Logs API" in
// the Lambda developer guide.

// logsFields are the fields of the records of the platform's events that it has.
var logsFields = map[string][]string{
	"platform.start":       {"requestId", "version"},
	runtimeDone:            {"requestId", "status"},
	end:                    {"requestId"},
	"platform.report":      {"requestId", "metrics"},
	"platform.extension":   {"name", "state", "events"},
	logsSubscription:       {"name", "state", "types"},
	"platform.logsDropped": {"droppedBytes", "droppedRecords", "reason"},
}

const (
	runtimeDone = "platform.runtimeDone" // from schema withRuntimeDone on
	// end, fault and logsSubscription are events of the Logs API only. The record of fault is a text.
	end              = "platform.end"
	fault            = "platform.fault"
	logsSubscription = "platform.logsSubscription"
)

const withRuntimeDone = "2021-03-18"

// forLogs is the record of an event of the platform as the Logs API has it; nil if it has no such event.
func forLogs(kind string, record any) any {
	if kind == fault {
		return record
	}
	fields, ok := logsFields[kind]
	if !ok {
		return nil
	}
	text, _ := json.Marshal(record) // encode says what is wrong
	var all map[string]json.RawMessage
	_ = json.Unmarshal(text, &all)
	for name := range all {
		if !slices.Contains(fields, name) {
			delete(all, name)
		}
	}
	return all
}
