package process

// Limits are those of the kernel for one process, which what it starts inherits. Zero: the limit of this process.
type Limits struct {
	OpenFiles int // descriptors
	Processes int // is shown to root's processes only, whom the kernel does not hold to it; a control group does
}
