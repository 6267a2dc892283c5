package lambdalocal

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

const faultsPath = "/lambdalocal/faults"

// maxFaults bounds a request about faults, in bytes.
const maxFaults = 1 << 20

// registerFaults adds faults on demand. Faults go in and out in JSON, with the keys of the configuration file.
func (s *Server) registerFaults(mux *http.ServeMux) {
	mux.HandleFunc("GET "+faultsPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Faults()) })
	mux.HandleFunc("PUT "+faultsPath, func(w http.ResponseWriter, r *http.Request) {
		var list []Fault
		if readFaults(w, r, &list) && accepted(w, s.SetFaults(list...)) {
			writeJSON(w, s.Faults())
		}
	})
	mux.HandleFunc("POST "+faultsPath, func(w http.ResponseWriter, r *http.Request) {
		var fault Fault
		if !readFaults(w, r, &fault) {
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

func readFaults(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxFaults)).Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return false
	}
	return true
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
