package cgroup

import (
	"path/filepath"
	"strings"
)

// trees are the folders of this process's own groups.
type trees struct {
	second string            // of version 2; empty: there is none
	first  map[string]string // of version 1, by controller
}

// findTrees reads /proc/self/mountinfo and /proc/self/cgroup.
func findTrees(mounts, own []byte) trees {
	second, first := ownGroups(string(own))
	t := trees{first: map[string]string{}}
	for line := range strings.Lines(string(mounts)) {
		about, kind, ok := strings.Cut(line, " - ")
		place, of := strings.Fields(about), strings.Fields(kind)
		if !ok || len(place) < 5 || len(of) < 3 {
			continue
		}
		root, point := place[3], place[4]
		switch of[0] {
		case "cgroup2":
			if dir, ok := within(point, root, second); ok {
				t.second = dir
			}
		case "cgroup":
			for _, name := range strings.Split(of[2], ",") {
				if dir, ok := within(point, root, first[name]); ok {
					t.first[name] = dir
				}
			}
		}
	}
	return t
}

func ownGroups(text string) (second string, first map[string]string) {
	first = map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(parts) < 3:
		case parts[1] == "":
			second = parts[2]
		default:
			for _, name := range strings.Split(parts[1], ",") {
				first[name] = parts[2]
			}
		}
	}
	return second, first
}

// within is where a mount that shows the tree from root on has the group.
func within(point, root, group string) (dir string, ok bool) {
	if group == "" {
		return "", false
	}
	below, err := filepath.Rel(root, group)
	if err != nil || strings.HasPrefix(below, "..") {
		return "", false
	}
	return filepath.Join(point, below), true
}
