package lambdalocal

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/faults"
)

const faultsPath = "/lambdalocal/faults"

// maxFaults bounds a request about faults, in bytes.
const maxFaults = 1 << 20

// registerFaults adds faults on demand. Faults go in and out in JSON, with the keys of the configuration file.
func (s *Server) registerFaults(mux *http.ServeMux) {
	mux.HandleFunc("GET "+faultsPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Faults()) })
	mux.HandleFunc("PUT "+faultsPath, func(w http.ResponseWriter, r *http.Request) {
		list, err := s.readFaults(body(w, r))
		if accepted(w, err) && accepted(w, s.SetFaults(list...)) {
			writeJSON(w, s.Faults())
		}
	})
	mux.HandleFunc("POST "+faultsPath, func(w http.ResponseWriter, r *http.Request) {
		fault, err := s.readFault(body(w, r))
		if !accepted(w, err) {
			return
		}
		if id, err := s.AddFault(fault); accepted(w, err) {
			writeJSON(w, FaultStatus{ID: id, Fault: fault})
		}
	})
	mux.HandleFunc("DELETE "+faultsPath, func(w http.ResponseWriter, _ *http.Request) {
		s.faults.Replace()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE "+faultsPath+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || !s.RemoveFault(id) {
			refuse(w, http.StatusNotFound, "no fault has the id "+strconv.Quote(r.PathValue("id")))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func body(w http.ResponseWriter, r *http.Request) *json.Decoder {
	return json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFaults))
}

func (s *Server) readFault(from *json.Decoder) (Fault, error) {
	var text json.RawMessage
	if err := from.Decode(&text); err != nil {
		return Fault{}, err
	}
	fault, wrong := faults.Parse(text, "", s.known())
	return fault, errors.Join(wrong...)
}

func (s *Server) readFaults(from *json.Decoder) (list []Fault, err error) {
	var texts []json.RawMessage
	var other *json.UnmarshalTypeError
	if err := from.Decode(&texts); errors.As(err, &other) {
		return nil, errors.New("must be a list of faults, got " + other.Value)
	} else if err != nil {
		return nil, err
	}
	var all []error
	for i, text := range texts {
		fault, wrong := faults.Parse(text, indexed(i), s.known())
		list, all = append(list, fault), append(all, wrong...)
	}
	return list, errors.Join(all...)
}

func accepted(w http.ResponseWriter, err error) bool {
	if err != nil {
		refuse(w, http.StatusBadRequest, strings.Split(err.Error(), "\n")...)
	}
	return err == nil
}

func refuse(w http.ResponseWriter, status int, mistakes ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]string{"errors": mistakes})
}
