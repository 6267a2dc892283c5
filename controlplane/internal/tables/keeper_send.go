package tables

import "time"

// Next returns the next message for a stream, if there is one.
func (k *Keeper) Next(now time.Time, s Session) (o Observed, ok bool) {
	if s != k.session || !k.Pending() {
		return Observed{}, false
	}
	k.number++
	o = Observed{Term: k.term, Number: k.number, Done: k.done, Refused: k.refused, Acked: k.acked, Pong: k.pong}
	if k.greet {
		o.Hello = k.Greeting().Hello
	}
	k.due, k.greet, k.refused = false, false, nil
	if o.Notes, k.noting = takeNotes(now, k.notes, k.noting); len(k.noting) > 0 {
		return o, true
	}
	k.nextInstances(now, &o)
	if !k.complete && k.snapshot == 0 {
		k.complete, o.Complete = true, true
	}
	return o, true
}

// Pending tells whether there is a message for the leader.
func (k *Keeper) Pending() bool {
	return k.open && (k.due || k.greet || len(k.queue) > 0 || len(k.noting) > 0 || !k.complete)
}

// nextInstances adds as many instances as one message may hold.
func (k *Keeper) nextInstances(now time.Time, o *Observed) {
	size := 0
	for n := 0; n < maxItems && len(k.queue) > 0 && size < maxBytes; n++ {
		id := k.queue[0]
		k.queue, k.snapshot = k.queue[1:], max(0, k.snapshot-1)
		r := k.records[id]
		if r == nil {
			continue
		}
		if r.changed {
			o.Instances = append(o.Instances, r.at(now))
			size += r.text()
		} else {
			o.Loads = append(o.Loads, r.load(now))
		}
		r.queued, r.changed = false, false
		if r.End != nil {
			k.ends = append(k.ends, sentEnd{id, o.Number})
		}
	}
}

// text is how many bytes of the instance its peer has chosen. JSON may encode each with six.
func (r *record) text() int {
	n := len(r.Environment) + len(r.What) + len(r.Why) + len(r.Peer.FunctionVersion) + len(r.Peer.RequestID) + len(r.Peer.LogStream)
	for _, word := range r.Peer.Features {
		n += len(word)
	}
	if r.End != nil {
		n += len(r.End.Detail)
		if r.End.Report != nil {
			n += len(r.End.Report.Detail)
		}
	}
	return n
}

// at is the instance as sent now.
func (r *record) at(now time.Time) Instance {
	i := r.Instance
	last := now
	if !r.ended.IsZero() {
		last = r.ended
	}
	i.Age, i.UpFor, i.Left = since(last, r.expected), since(last, r.up), until(now, r.deadline)
	if r.up.IsZero() {
		i.StartBy = until(now, r.startBy)
	}
	if r.Load != nil {
		l := r.load(now)
		i.Load = &l
	}
	return i
}

// load is the last load as sent now.
func (r *record) load(now time.Time) Load {
	l := *r.Load
	l.Age = since(now, r.loaded)
	return l
}
