package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

func (a *app) rolloutCommand() *cobra.Command {
	var api api
	var steps []float64
	var hold string
	var abort bool
	c := ordering(&api, "rollout", "Replace a function's instances step by step by those of the version that its qualifier points to")
	c.Flags().Float64SliceVar(&steps, "steps", nil, "`SHARE,...` of the capacity, one after the other, instead of rollout.steps")
	c.Flags().Lookup("steps").DefValue = "" // help shows no default
	c.Flags().StringVar(&hold, "hold", "", "`TIME` of each step, instead of rollout.hold")
	c.Flags().BoolVar(&abort, "abort", false, "give up the rollout under way: the old version stays, or comes back")
	c.RunE = func(c *cobra.Command, args []string) error {
		if abort && (steps != nil || hold != "") {
			return usagef("rollout: --abort gives a rollout up, and takes neither --steps nor --hold")
		}
		if abort {
			return a.order(c, &api, http.MethodDelete, args[0], "rollout", nil, "the rollout of %[1]s is being given up")
		}
		plan := operator.RolloutPlan{Steps: steps}
		if hold != "" {
			if _, err := time.ParseDuration(hold); err != nil {
				return usagef("rollout: --hold: must be a duration such as 30s or 1m30s, got %q", hold)
			}
			plan.Hold = &hold
		}
		return a.order(c, &api, http.MethodPost, args[0], "rollout", plan, "%[1]s is being rolled out")
	}
	return api.define(a, c)
}

func (a *app) drainCommand() *cobra.Command {
	var api api
	var now bool
	c := ordering(&api, "drain", "Replace all instances of a function by new ones, which start first")
	c.Flags().BoolVar(&now, "now", false, "drain all at once: requests wait until others have started")
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "drain"
		if now {
			path += "?now"
		}
		return a.order(c, &api, http.MethodPost, args[0], path, nil, "%[1]s is being drained")
	}
	return api.define(a, c)
}

// ordering is a command that gives an order about one function.
func ordering(api *api, name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " [FLAG]... FUNCTION", GroupID: operating, DisableFlagsInUseLine: true, Short: short,
		Args: exactly("FUNCTION"), ValidArgsFunction: api.completeFunctions,
	}
}

// order sends an order about a function, and prints that it is being carried out.
func (a *app) order(c *cobra.Command, api *api, method, function, path string, body any, done string) error {
	answer, err := api.do(c.Context(), method, "/api/v1/functions/"+url.PathEscape(function)+"/"+path, body)
	if err != nil {
		return fmt.Errorf("%s: %w", called(c), api.unknown(c.Context(), err, function))
	}
	if api.json {
		_, err := a.stdout.Write(answer)
		return err
	}
	_, err = fmt.Fprintf(a.stdout, done+"; `%[2]s status%[3]s %[1]s` shows how far it is\n", function, program, api.again(c))
	return err
}

func (a *app) statusCommand() *cobra.Command {
	var api api
	c := &cobra.Command{
		Use: "status [FLAG]... [FUNCTION]", GroupID: operating, DisableFlagsInUseLine: true,
		Short: "Show functions, or one of them with its instances", ValidArgsFunction: api.completeFunctions,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactly("FUNCTION")(c, args)
		},
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := a.status(c.Context(), &api, strings.Join(args, "")); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		return nil
	}
	return api.define(a, c)
}

// A shown is what status shows, and with --json prints.
type shown struct {
	Functions []operator.Function `json:"functions"`
	Instances []operator.Instance `json:"instances"`
}

// unknown is the error of a name that no function has. It says which there are.
func (s shown) unknown(name string) error {
	return fmt.Errorf("function %q: %w: there are %s", name, operator.ErrNotFound, cmp.Or(strings.Join(s.names(), ", "), "none"))
}

// A place is where a process stands among others, and what it does not take of its files.
type place struct {
	Role   string              `json:"role"`
	Uplink *admin.UplinkStatus `json:"uplink"` // of a relay that runs by itself
	Files  map[string]string   `json:"files_not_taken"`
}

// printFiles writes a line for each file whose new content is not in use.
func (p place) printFiles(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		fmt.Fprintf(w, "%s: what its file holds is not taken, and what it held before is in use: %s\n", name, p.Files[name])
	}
}

// A standing says whether a control plane's numbers can be believed.
type standing struct {
	place
	Ready  bool     `json:"ready"`
	Detail string   `json:"detail"` // why not
	Leader string   `json:"leader"` // the admin address of whoever leads
	Relays []string `json:"relays"` // attached to this leader

	Refused []admin.Refused `json:"refused"` // by Envoys
	Lease   struct {
		AgeSeconds float64 `json:"age_seconds"`
		Detail     string  `json:"detail"` // what is wrong with the lease's store
	} `json:"lease"`
}

// print writes a line for each thing that is wrong with the control plane itself.
func (p standing) print(w io.Writer) {
	if !p.Ready {
		fmt.Fprintln(w, "not ready:", strings.TrimSpace(p.Detail))
	}
	if p.Role == admin.RoleStandby {
		fmt.Fprintln(w, "a standby does not know what runs; the leader does, whose admin address is", cmp.Or(p.Leader, "not known"))
	}
	if p.Role == admin.RoleLeader && len(p.Relays) == 0 {
		fmt.Fprintln(w, "no relay is attached: nothing starts, and it is not known which instances still serve")
	}
	for _, r := range p.Refused {
		fmt.Fprintf(w, "an Envoy refuses %s %s, which is offered again: %s\n", r.Service, r.Resource, strings.TrimSpace(r.Why))
	}
	p.printFiles(w)
	if p.Lease.Detail != "" {
		fmt.Fprintf(w, "the lease has not been read or renewed for %.0fs, so no other control plane can follow the one that leads: %s\n", p.Lease.AgeSeconds, p.Lease.Detail)
	}
}

// status shows all functions, or the one that is named. A relay has none, and shows whether it is led.
func (a *app) status(ctx context.Context, api *api, name string) error {
	var s shown
	var p standing
	if err := api.get(ctx, "/api/v1/status", &p); err != nil {
		return err
	}
	if p.Uplink != nil {
		return a.relayStatus(api, p.place, name)
	}
	if err := api.get(ctx, "/api/v1/functions", &s); err != nil {
		return err
	}
	if err := api.get(ctx, "/api/v1/instances", &s); err != nil {
		return err
	}
	if name != "" {
		of := s.of(name)
		if len(of.Functions) == 0 {
			return s.unknown(name)
		}
		s = of
	}
	if api.json {
		return a.printJSON(s)
	}
	p.print(a.stdout)
	return s.print(a.stdout, name != "")
}

func (a *app) relayStatus(api *api, p place, name string) error {
	if name != "" {
		return fmt.Errorf("%s is a relay's address: a control plane knows of functions", api.Address)
	}
	if api.json {
		return a.printJSON(p)
	}
	led := "no control plane is attached"
	if p.Uplink.Attached {
		led = fmt.Sprintf("the control plane of term %d is attached", p.Uplink.Term)
	}
	fmt.Fprintf(a.stdout, "a relay with %d instances; %s\n", p.Uplink.Instances, led)
	if p.Uplink.Unkept != "" {
		fmt.Fprintln(a.stdout, "what is known of instances is not written down, and lost if relay and leader end together:", p.Uplink.Unkept)
	}
	p.printFiles(a.stdout)
	for _, address := range slices.Sorted(maps.Keys(p.Uplink.Unheard)) {
		fmt.Fprintf(a.stdout, "%s: %s\n", address, p.Uplink.Unheard[address])
	}
	return nil
}

func (a *app) printJSON(value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(a.stdout, "%s\n", text)
	}
	return err
}
