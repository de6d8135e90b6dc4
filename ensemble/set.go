package ensemble

import "slices"

// Set is a set of server ids, in ascending order and without repetition. The zero value is empty.
type Set []int64

// Contains reports whether sid is in the set.
func (s Set) Contains(sid int64) bool {
	_, ok := slices.BinarySearch(s, sid)
	return ok
}

// Add returns the set with sid. Like append it may change the memory of s, which must not be used any more.
func (s Set) Add(sid int64) Set {
	i, ok := slices.BinarySearch(s, sid)
	if ok {
		return s
	}
	return slices.Insert(s, i, sid)
}

// Remove returns the set without sid. It may change the memory of s, which must not be used any more.
func (s Set) Remove(sid int64) Set {
	i, ok := slices.BinarySearch(s, sid)
	if !ok {
		return s
	}
	return slices.Delete(s, i, i+1)
}
