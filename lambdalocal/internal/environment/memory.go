package environment

import "time"

// memoryInterval is how often memory is measured where the limit is enforced.
const memoryInterval = 50 * time.Millisecond

func (b *boot) peakMemory() (sum int64) {
	for _, c := range b.children() {
		sum += c.PeakMemory()
	}
	return sum
}

func (b *boot) memory() (sum int64) {
	for _, c := range b.children() {
		sum += c.Memory()
	}
	return sum
}

// watchMemory stands in for the kernel's out-of-memory killer until the boot fails for this or another reason.
func (b *boot) watchMemory() {
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.dead:
			return
		}
		if b.memory() > int64(b.env.cfg.MemoryMB)<<20 {
			b.fail(outOfMemory())
			b.kill()
			return
		}
	}
}
