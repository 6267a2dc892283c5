package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

const pieceSize = 32 << 10

// echo sends the body back piece by piece while it arrives, with its type, and with its length if that is known.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = r.Header["Content-Type"]
	if r.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	piece := make([]byte, pieceSize)
	for {
		n, err := r.Body.Read(piece)
		if n > 0 {
			send(w, control, piece[:n])
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			abort()
		}
	}
}

// send writes and flushes one piece; it does not return when the client is gone.
func send(w io.Writer, control *http.ResponseController, piece []byte) {
	if _, err := w.Write(piece); err != nil {
		abort()
	}
	if err := control.Flush(); err != nil {
		abort()
	}
}

// digest reads the body and answers its hash and length.
func digest(w http.ResponseWriter, r *http.Request) {
	d, err := sum(r.Body)
	if err != nil {
		abort()
	}
	writeJSON(w, d)
}

func sum(body io.Reader) (contract.Digest, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, body)
	return contract.Digest{SHA256: hex.EncodeToString(hash.Sum(nil)), Length: n}, err
}

// generate answers ?n= bytes, in pieces of ?chunk= that are ?delay_ms= apart, with their length stated if ?length=true.
func generate(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	n, chunk := q.whole("n", 1024, 4<<30), q.whole("chunk", pieceSize, 16<<20)
	delay, length := q.millis("delay_ms", 0), q.flag("length")
	if q.failed(w) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if length {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	control := http.NewResponseController(w)
	piece := make([]byte, min(max(chunk, 1), n))
	for sent := int64(0); sent < n; sent += int64(len(piece)) {
		if sent > 0 && delay > 0 && !pause(r, delay) {
			abort()
		}
		piece = piece[:min(int64(len(piece)), n-sent)]
		contract.Fill(piece, sent)
		send(w, control, piece)
	}
}

// uploadCancel reads the body slowly, at most 1 KiB each ?ms=, and records under ?key= how it ended: clean_eof or read_error.
func (a *app) uploadCancel(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r)
	delay, key := q.millis("ms", 10), q.values.Get("key")
	if q.failed(w) {
		return
	}
	piece := make([]byte, 1<<10)
	var length int64
	for {
		n, err := r.Body.Read(piece)
		length += int64(n)
		if errors.Is(err, io.EOF) {
			a.record(key, contract.CleanEOF, nil)
			writeJSON(w, contract.Digest{Length: length})
			return
		}
		if err != nil {
			a.record(key, contract.ReadError, err)
			abort()
		}
		time.Sleep(delay) // not pause: only reading the body may tell that the client left
	}
}
