package pool

import "math/bits"

// An indexSet is a set of small numbers with a quick minimum: a bitmap, and a bitmap of its words that are not empty.
type indexSet struct {
	words   []uint64
	summary []uint64
}

func (s *indexSet) add(n int) {
	w := n / 64
	for w >= len(s.words) {
		s.words = append(s.words, 0)
	}
	for w/64 >= len(s.summary) {
		s.summary = append(s.summary, 0)
	}
	s.words[w] |= 1 << (n % 64)
	s.summary[w/64] |= 1 << (w % 64)
}

func (s *indexSet) remove(n int) {
	w := n / 64
	if w >= len(s.words) {
		return
	}
	s.words[w] &^= 1 << (n % 64)
	if s.words[w] == 0 {
		s.summary[w/64] &^= 1 << (w % 64)
	}
}

// min is the lowest member, or -1.
func (s *indexSet) min() int {
	for k, v := range s.summary {
		if v != 0 {
			w := k*64 + bits.TrailingZeros64(v)
			return w*64 + bits.TrailingZeros64(s.words[w])
		}
	}
	return -1
}

// max is the highest member, or -1.
func (s *indexSet) max() int {
	for k := len(s.summary) - 1; k >= 0; k-- {
		if v := s.summary[k]; v != 0 {
			w := k*64 + bits.Len64(v) - 1
			return w*64 + bits.Len64(s.words[w]) - 1
		}
	}
	return -1
}

// maxBelow is the highest member below n, or -1.
func (s *indexSet) maxBelow(n int) int {
	for w := min((n+63)/64, len(s.words)) - 1; w >= 0; w-- {
		v := s.words[w]
		if last := n - w*64; last < 64 {
			v &= 1<<last - 1
		}
		if v != 0 {
			return w*64 + bits.Len64(v) - 1
		}
	}
	return -1
}

func (s *indexSet) has(n int) bool {
	return n/64 < len(s.words) && s.words[n/64]&(1<<(n%64)) != 0
}

// A slotIndex finds the instance to lease from in a time that does not depend on how many there are. It has one set of instances
// for each count of free slots, and the set of the counts that occur. It packs requests onto the fullest instance that has a free
// slot, so that others run empty and can be drained. With spread it finds the emptiest one. Among equals it takes the lowest
// index. Counts are stored as used slots out of the most that an instance can have.
type slotIndex struct {
	most   int
	byUsed []indexSet
	used   indexSet
	spread bool
}

func newSlotIndex(most int, spread bool) slotIndex {
	return slotIndex{most: most, byUsed: make([]indexSet, most), spread: spread}
}

// add and remove ignore an instance without a free slot.
func (s *slotIndex) add(index, free int) {
	if free > 0 {
		s.byUsed[s.most-free].add(index)
		s.used.add(s.most - free)
	}
}

func (s *slotIndex) remove(index, free int) {
	if free <= 0 {
		return
	}
	set := &s.byUsed[s.most-free]
	set.remove(index)
	if set.min() < 0 {
		s.used.remove(s.most - free)
	}
}

// lists reports whether the index is in the set for so many free slots, and in no other.
func (s *slotIndex) lists(index, free int) bool {
	for used := range s.byUsed {
		want := s.most-free == used
		if s.byUsed[used].has(index) != want || want && !s.used.has(used) {
			return false
		}
	}
	return true
}

// next is the index of the instance to lease from, or -1.
func (s *slotIndex) next() int {
	used := s.used.max()
	if s.spread {
		used = s.used.min()
	}
	if used < 0 {
		return -1
	}
	return s.byUsed[used].min()
}

// emptiest is the index of the instance with the most free slots, or -1.
func (s *slotIndex) emptiest() int {
	if used := s.used.min(); used >= 0 {
		return s.byUsed[used].min()
	}
	return -1
}

// nextLeavingOne is next among the instances that would have another free slot left.
func (s *slotIndex) nextLeavingOne() int {
	used := s.used.maxBelow(s.most - 1)
	if used < 0 {
		return -1
	}
	return s.byUsed[used].min()
}
