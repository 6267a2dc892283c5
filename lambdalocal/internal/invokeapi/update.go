package invokeapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/code"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// Lambda's limits in bytes: on the body of UpdateFunctionCode, an archive in base64, and on the archive.
const (
	maxCode    = 70167211
	maxArchive = 50 << 20
)

// local is the bucket that stands for this machine: keys in it are folders.
const local = "local"

// A codeChange is the body of UpdateFunctionCode. Without a source the code is what is on disk now.
type codeChange struct {
	ZipFile  []byte
	S3Bucket string
	S3Key    string
	ImageURI string `json:"ImageUri"`
	Publish  bool
	DryRun   bool

	RevisionID string `json:"RevisionId"` // that $LATEST must have; empty: any
}

func (h *Handler) updateCode(r *http.Request) (int, any, error) {
	f, err := h.findWhole(r)
	if err != nil {
		return 0, nil, err
	}
	var c codeChange
	if err := decode(r, &c, maxCode); isTooLarge(err) {
		return 0, nil, serviceerror.New(serviceerror.TypeEntityTooLarge, "Request must be smaller than %d bytes for the UpdateFunctionCode operation", maxCode)
	} else if err != nil {
		return 0, nil, err
	}
	latest, _ := f.Version(function.Latest)
	source, err := h.source(c, latest)
	if err != nil {
		return 0, nil, err
	}
	if c.DryRun {
		if err := latest.Expect(c.RevisionID); err != nil {
			return 0, nil, err
		}
		return http.StatusOK, h.latest(f), nil
	}
	if err := f.Update(c.RevisionID, func(v *function.Version) { v.Dir, v.Sha256 = source.Dir, source.Sha256 }); err != nil {
		return 0, nil, err
	}
	h.changed(f, "code updated")
	if c.Publish {
		latest, _ = f.Version(function.Latest)
		return h.publish(http.StatusOK, f, latest, "")
	}
	return http.StatusOK, h.latest(f), nil
}

func isTooLarge(err error) bool {
	var e *serviceerror.Error
	return errors.As(err, &e) && e.Type == serviceerror.TypeTooLarge
}

// source is where the new code is.
func (h *Handler) source(c codeChange, latest function.Version) (code.Code, error) {
	switch {
	case c.ImageURI != "":
		return code.Code{}, invalid("ImageUri: lambdalocal runs no images; give ZipFile, or S3Bucket %q and a folder as S3Key", local)
	case len(c.ZipFile) > 0 && c.S3Bucket != "":
		return code.Code{}, invalid("Please do not provide more than one source for function code.")
	case len(c.ZipFile) > maxArchive:
		return code.Code{}, serviceerror.New(serviceerror.TypeEntityTooLarge, "Zipped size must be smaller than %d bytes", maxArchive)
	case len(c.ZipFile) > 0:
		kept, err := h.Code.Unzip(c.ZipFile)
		if errors.Is(err, code.ErrTooLarge) {
			return code.Code{}, invalid("Unzipped size must be smaller than %d bytes", code.MaxSize)
		}
		if err != nil {
			return code.Code{}, invalid("Could not unzip uploaded file: %v", err)
		}
		return kept, nil
	case c.S3Bucket != "":
		return folder(c, latest)
	}
	return code.Code{Dir: latest.Dir, Sha256: latest.Sha256}, nil
}

func folder(c codeChange, latest function.Version) (code.Code, error) {
	if c.S3Bucket != local {
		return code.Code{}, invalid("S3Bucket: lambdalocal knows %q only, whose keys are folders of this machine", local)
	}
	dir := c.S3Key
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(latest.Dir, dir)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return code.Code{}, invalid("S3Key: %s is not a folder", dir)
	}
	return code.Code{Dir: dir}, nil
}

func invalid(format string, args ...any) error {
	return serviceerror.New(serviceerror.TypeInvalidValue, format, args...)
}

// A configurationChange is the body of UpdateFunctionConfiguration. What is absent stays as it is.
type configurationChange struct {
	Description *string
	Handler     *string
	Timeout     *int
	MemorySize  *int
	Environment *variables

	EphemeralStorage *storage
	RevisionID       string `json:"RevisionId"` // that $LATEST must have; empty: any

	ImageConfig *struct {
		EntryPoint       []string
		Command          []string
		WorkingDirectory string
	}
}

func (h *Handler) updateConfiguration(r *http.Request) (int, any, error) {
	f, err := h.findWhole(r)
	if err != nil {
		return 0, nil, err
	}
	var c configurationChange
	if err := settings(r, &c); err != nil {
		return 0, nil, err
	}
	if err := c.check(f.Config()); err != nil {
		return 0, nil, err
	}
	if f.Config().Managed != nil && c.MemorySize != nil { // its instances have been chosen, and their price
		return 0, nil, invalid("MemorySize: lambdalocal changes it for functions on Lambda's own machines only")
	}
	if err := f.Update(c.RevisionID, c.over); err != nil {
		return 0, nil, err
	}
	h.changed(f, "configuration updated")
	return http.StatusOK, h.latest(f), nil
}

// maxVariables is the limit on all names and values together, in bytes of JSON.
const maxVariables = 4 << 10

var variableRule = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// reserved are variables that only Lambda sets. Source: "Working with Lambda environment variables" in the Lambda developer guide.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func (c configurationChange) check(of *function.Config) error {
	var size *int
	if c.EphemeralStorage != nil {
		size = &c.EphemeralStorage.Size
	}
	err := cmp.Or(
		within(c.Timeout, 1, int(function.LongestTimeout(of.Managed != nil).Seconds()), "timeout"),
		within(c.MemorySize, function.MinMemoryMB, function.MaxMemoryMB, "memorySize"),
		within(size, function.MinTempMB, function.MaxTempMB, "ephemeralStorage.size"),
		notLonger(c.Description, maxDescription, "description"),
		notLonger(c.Handler, maxHandler, "handler"),
	)
	if err == nil && c.Handler != nil {
		err = matching(*c.Handler, handlerRule, "handler")
	}
	if err == nil && c.Environment != nil {
		err = c.Environment.check()
	}
	return err
}

func (v variables) check() error {
	for _, name := range slices.Sorted(maps.Keys(v.Variables)) {
		switch {
		case slices.Contains(reserved, name):
			return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided "+
				"contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", name)
		case !variableRule.MatchString(name):
			return invalid("%q is not a name for an environment variable: it must match %s", name, variableRule)
		}
	}
	text := &bytes.Buffer{}
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v.Variables)
	if measured := bytes.TrimSpace(text.Bytes()); len(measured) > maxVariables {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided "+
			"exceeded the 4KB limit. String measured: %s", measured)
	}
	return nil
}

func (c configurationChange) over(v *function.Version) {
	if c.Description != nil {
		v.Description = *c.Description
	}
	if c.Handler != nil {
		v.Handler = *c.Handler
	}
	if c.Timeout != nil {
		v.Timeout = time.Duration(*c.Timeout) * time.Second
	}
	if c.MemorySize != nil {
		v.MemoryMB = *c.MemorySize
	}
	if c.Environment != nil {
		v.Env = c.Environment.Variables
	}
	if c.EphemeralStorage != nil {
		v.TempMB = c.EphemeralStorage.Size
	}
	c.image(v)
}

// image changes the program: what an image's configuration says of it is as good for a command of this machine.
func (c configurationChange) image(v *function.Version) {
	i := c.ImageConfig
	if i == nil {
		return
	}
	if command := slices.Concat(i.EntryPoint, i.Command); len(command) > 0 {
		v.Command = command
	}
	if i.WorkingDirectory != "" && !filepath.IsAbs(i.WorkingDirectory) {
		v.Dir = filepath.Join(v.Dir, i.WorkingDirectory)
	} else if i.WorkingDirectory != "" {
		v.Dir = i.WorkingDirectory
	}
	if i.WorkingDirectory != "" {
		v.Sha256 = ""
	}
}

// A publication is the body of PublishVersion.
type publication struct {
	CodeSha256  string
	Description string
	RevisionID  string `json:"RevisionId"` // that $LATEST must have; empty: any
}

func (h *Handler) publishVersion(r *http.Request) (int, any, error) {
	f, err := h.findWhole(r)
	if err != nil {
		return 0, nil, err
	}
	var p publication
	if err := settings(r, &p); err != nil {
		return 0, nil, err
	}
	if err := notLonger(&p.Description, maxDescription, "description"); err != nil {
		return 0, nil, err
	}
	latest, _ := f.Version(function.Latest)
	if p.CodeSha256 != "" && p.CodeSha256 != latest.Sha256 {
		return 0, nil, invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). "+
			"Please try again with the CodeSHA256 in $LATEST.", p.CodeSha256, latest.Sha256)
	}
	if err := latest.Expect(p.RevisionID); err != nil {
		return 0, nil, err
	}
	return h.publish(http.StatusCreated, f, latest, p.Description)
}

func (h *Handler) publish(status int, f *function.Function, latest function.Version, description string) (int, any, error) {
	v, err := f.Publish(latest, description, h.frozen)
	if err != nil {
		return 0, nil, serviceerror.New(serviceerror.TypeService, "%v", err)
	}
	h.Log.WithFields(logrus.Fields{"function": v.Function, "version": v.Version}).Info("version published")
	return status, h.configuration(f, target{name: v.Function, qualifier: v.Version}, v), nil
}

// frozen is where the version's code stays as it is. A folder that is too large for a copy is left to its owner.
func (h *Handler) frozen(v function.Version) (dir, sha256 string, err error) {
	if v.Sha256 != "" {
		return v.Dir, v.Sha256, nil
	}
	kept, err := h.Code.Copy(v.Dir)
	if errors.Is(err, code.ErrTooLarge) {
		h.Log.WithError(err).WithFields(logrus.Fields{"function": v.Function, "dir": v.Dir}).
			Warn("the version has no copy of its code: it runs what is in the folder")
		return v.Dir, "", nil
	}
	return kept.Dir, kept.Sha256, err
}

func (h *Handler) changed(f *function.Function, what string) {
	h.Log.WithField("function", f.Config().Function).Info(what)
}
