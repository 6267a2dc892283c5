package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// names are what a sandbox's own loopback is called, beside localhost.
const names = "127.0.0.1 sandbox sandbox.localdomain\n"

// newRoot makes a mount namespace that is the machine's, with places for TaskRoot and Layers and the sandbox's names, and
// returns a handle on it. It uses up the thread. Nothing is created on the machine's own file systems: the root is a new one, of
// which the machine's folders are part.
func newRoot() (namespace int, err error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return -1, fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return -1, fmt.Errorf("mount namespace: %w", err)
	}
	root, err := os.MkdirTemp("", "lambdalocal-root-")
	if err != nil {
		return -1, err
	}
	if err := assemble(root); err != nil {
		return -1, fmt.Errorf("root: %w", err)
	}
	return unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// assemble fills the folder with the machine's folders, makes it the root and leaves the machine's.
func assemble(root string) error {
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=4m,mode=755"); err != nil {
		return err
	}
	if err := adopt("/", root, []string{TaskRoot, Layers, "/tmp"}); err != nil {
		return err
	}
	if err := addNames(root); err != nil {
		return err
	}
	old := filepath.Join(root, ".old")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := errors.Join(unix.PivotRoot(root, old), os.Chdir("/")); err != nil {
		return err
	}
	return tidy(root)
}

// tidy leaves the machine's root, and of the folder on which the new one was mounted not a trace: what was adopted with the
// folder around it is a half-made copy of the new root.
func tidy(root string) error {
	_ = unix.Unmount(root, unix.MNT_DETACH)
	if err := unix.Unmount("/.old", unix.MNT_DETACH); err != nil {
		return err
	}
	_, _ = os.Remove(root), os.Remove("/.old")
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
}

// adopt makes what is in a folder of the machine part of one of the new root. Folders that places lie in, and that lack them,
// are adopted one by one, with the places in them.
func adopt(from, to string, places []string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		inside := within(source, places)
		if e.IsDir() && len(inside) > 0 {
			if err := os.Mkdir(target, 0o755); err != nil {
				return err
			}
			if err := adopt(source, target, inside); err != nil {
				return err
			}
			continue
		}
		if err := graft(source, target, e.Type()); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
	}
	for _, place := range places {
		if err := os.MkdirAll(filepath.Join(to, strings.TrimPrefix(place, from)), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// within are the places below the folder that do not exist.
func within(folder string, places []string) (missing []string) {
	for _, place := range places {
		if _, err := os.Stat(place); err != nil && strings.HasPrefix(place, folder+"/") {
			missing = append(missing, place)
		}
	}
	return missing
}

// graft makes one file, folder or link of the machine appear elsewhere.
func graft(source, target string, kind os.FileMode) error {
	switch {
	case kind&os.ModeSymlink != 0:
		to, err := os.Readlink(source)
		return errors.Join(err, os.Symlink(to, target))
	case kind.IsDir():
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(target, nil, 0o600); err != nil {
			return err
		}
	}
	return unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
}

// addNames puts the sandbox's names beside those that the machine knows.
func addNames(root string) error {
	hosts := filepath.Join(root, "etc/hosts")
	known, err := os.ReadFile(hosts)
	if err != nil {
		return err
	}
	ours := filepath.Join(root, ".hosts")
	if err := os.WriteFile(ours, append([]byte(names), known...), 0o644); err != nil {
		return err
	}
	return unix.Mount(ours, hosts, "", unix.MS_BIND, "")
}
