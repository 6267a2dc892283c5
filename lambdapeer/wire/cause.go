package wire

// Causes of the answers that a peer gives in an app's place, in problem documents (RFC 9457). Envoy and the control plane
// have causes of their own; docs/operating.md has one table of all.
const (
	CauseNoAnswer      = "no_answer"      // the app did not answer
	CauseAnswerInvalid = "answer_invalid" // its answer is not HTTP, or cannot be passed on
	CauseOverload      = "overload"       // every slot is taken
)

// Causes lists them.
var Causes = []string{CauseNoAnswer, CauseAnswerInvalid, CauseOverload}
