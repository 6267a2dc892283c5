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

// memory is what the processes hold, in bytes: as the kernel counts it, else the sum over them.
func (b *boot) memory() (sum int64) {
	if b.env.limits != nil {
		if held, ok := b.env.limits.Memory(); ok {
			return held
		}
	}
	for _, c := range b.children() {
		sum += c.Memory()
	}
	return sum
}

// watchMemory ends the processes when they hold too much, as the kernel would in Lambda, until the boot fails for this or
// another reason. What is in /tmp is memory to the kernel here, and not there: so it is not left to the kernel alone.
func (b *boot) watchMemory() {
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.dead:
			return
		}
		if !b.frozen.Load() && b.memory() > int64(b.env.cfg.MemoryMB)<<20 {
			b.fail(outOfMemory())
			b.kill()
			return
		}
	}
}
