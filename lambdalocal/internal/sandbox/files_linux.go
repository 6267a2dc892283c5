package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// arrange gives the thread's mount namespace, a copy of the root's, what the Spec says.
func arrange(s Spec) error {
	if err := readOnly(s.Task, TaskRoot); err != nil {
		return fmt.Errorf("%s: %w", TaskRoot, err)
	}
	if err := stack(s.Layers); err != nil {
		return fmt.Errorf("%s: %w", Layers, err)
	}
	if err := ownTemp(s); err != nil {
		return fmt.Errorf("/tmp: %w", err)
	}
	if err := withoutSharedMemory(); err != nil {
		return fmt.Errorf("%s: %w", sharedMemory, err)
	}
	return os.Chdir("/")
}

// sharedMemory is where the C library keeps semaphores and memory that have a name. Lambda does not mount it.
const sharedMemory = "/dev/shm"

// withoutSharedMemory leaves an empty folder, in which nothing can be made, where the machine has shared memory.
func withoutSharedMemory() error {
	if _, err := os.Stat(sharedMemory); err != nil {
		return nil
	}
	return unix.Mount("tmpfs", sharedMemory, "tmpfs", unix.MS_RDONLY, "size=4k,mode=755")
}

func readOnly(folder, at string) error {
	if err := unix.Mount(folder, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, at, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// stack lays folders over the machine's Layers, in which programs may be. None of it can be written to.
func stack(layers []string) error {
	if len(layers) == 0 {
		return readOnly(Layers, Layers)
	}
	folders := []string{Layers}
	for _, l := range layers {
		folders = append(folders, strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(l))
	}
	slices.Reverse(folders) // the first is the uppermost
	return unix.Mount("overlay", Layers, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(folders, ":"))
}

// ownTemp covers the machine's /tmp, but for what is shared.
func ownTemp(s Spec) error {
	shared := map[string]int{}
	defer func() {
		for _, fd := range shared {
			_ = unix.Close(fd)
		}
	}()
	for _, path := range s.Shared {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		shared[path] = fd
	}
	if err := unix.Mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%dm,mode=1777", s.TempMB)); err != nil {
		return err
	}
	for path, fd := range shared {
		if err := mountPoint(path, fd); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// mountPoint creates a folder, or a file, where one is to be mounted.
func mountPoint(path string, source int) error {
	var about unix.Stat_t
	if err := unix.Fstat(source, &about); err != nil {
		return err
	}
	if about.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}
