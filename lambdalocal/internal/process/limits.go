package process

// Limits are those of the kernel for one process, which what it starts inherits. Zero: the limit of this process.
type Limits struct {
	OpenFiles int // descriptors
	Processes int // set for root's processes only, to be read: the kernel does not enforce it on root. A control group enforces it
}
