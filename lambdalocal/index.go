package lambdalocal

import (
	"io"
	"net/http"
)

// index lists the paths, for somebody who knows only the address.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, `lambdalocal, AWS Lambda on one machine. This address is the endpoint for AWS SDKs.

POST   /2015-03-31/functions/{name}/invocations                      invoke; the body is the event
POST   /2021-11-15/functions/{name}/response-streaming-invocations   invoke, and stream the answer
GET    /2015-03-31/functions/                                        Lambda's description of the functions
GET    /lambdalocal/functions                                        what became of each function's invocations
GET    /lambdalocal/environments                                     the environments that exist now
GET    /lambdalocal/ledger                                           the bill so far
GET    /lambdalocal/faults                                           faults in force, and how often each struck
PUT    /lambdalocal/faults                                           replace all faults by a list
POST   /lambdalocal/faults                                           add a fault: {"kind": "throttle", "for": "10s"}
DELETE /lambdalocal/faults                                           end all faults
DELETE /lambdalocal/faults/{id}                                      end one
PUT    /2015-03-31/functions/{name}/code                             run what is on disk now; {"Publish": true} makes it a version

Lambda's other calls about functions, versions, aliases and concurrency are served where the SDKs look for them.
`)
}
