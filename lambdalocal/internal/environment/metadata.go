package environment

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// The metadata endpoint tells the environment's processes in which availability zone they are. Its path has a version. Source: "Using
// the Lambda metadata endpoint" in the Lambda developer guide.
const metadataPath = "/2026-01-15/metadata/execution-environment"

// metadata answers whoever has the environment's token.
func (b *boot) metadata(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(b.env.token)) == 0 {
		refuse(w, &refusal{http.StatusUnauthorized, "Unauthorized", "the Authorization header must be Bearer and the environment's token"})
		return
	}
	w.Header().Set("Cache-Control", "private, max-age=43200")
	writeJSON(w, http.StatusOK, map[string]string{"AvailabilityZoneID": zone(b.env.cfg.Region)})
}

var directions = strings.NewReplacer("north", "n", "south", "s", "east", "e", "west", "w", "central", "c", "gov", "g", "-", "")

// zone is the id of a region's first availability zone, in which all environments are: use1-az1 of us-east-1.
func zone(region string) string { return directions.Replace(region) + "-az1" }
