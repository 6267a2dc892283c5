// Package spelling guesses what somebody meant to write.
package spelling

// Suggest returns ", did you mean X?" for the known name that is most like name, or nothing if none is near.
func Suggest(name string, known []string) string {
	best, least := "", 1+len(name)/2
	for _, candidate := range known {
		if edits := distance(name, candidate); edits < least {
			best, least = candidate, edits
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + best + "?"
}

// distance counts the bytes to insert, delete or replace between two words.
func distance(from, to string) int {
	costs := make([]int, len(to)+1) // of making each beginning of to from what of from was seen
	for i := range costs {
		costs[i] = i
	}
	for i := range len(from) {
		previous := costs[0]
		costs[0]++
		for j := range len(to) {
			replace := previous
			if from[i] != to[j] {
				replace++
			}
			previous = costs[j+1]
			costs[j+1] = min(replace, costs[j]+1, previous+1)
		}
	}
	return costs[len(to)]
}
