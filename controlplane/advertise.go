package controlplane

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/outward"
)

// advertise returns the address that peers dial: relay.advertise, or the address that this tells the process to find. It asks once,
// and not at all where the address is configured.
func advertise(ctx context.Context, r config.Relay) (string, error) {
	finder := outward.Finder{Getenv: os.Getenv}
	find := map[string]func(context.Context) (netip.Addr, error){
		config.AdvertiseAuto: finder.Private, config.AdvertisePublic: finder.Public, config.AdvertiseIPv6: finder.IPv6,
	}[r.Advertise]
	if find == nil {
		return r.Advertise, nil
	}
	address, err := find(ctx)
	if err != nil {
		return "", fmt.Errorf("relay.advertise: %s: %w", r.Advertise, err)
	}
	_, port, err := net.SplitHostPort(r.Address)
	return net.JoinHostPort(address.String(), port), err
}
