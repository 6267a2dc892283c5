// Package outward finds the address by which others reach this process, where it cannot be configured beforehand: each task of an
// ECS service has its own.
package outward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// metadataVar is set by ECS: the URL of a document about the container that asks.
const metadataVar = "ECS_CONTAINER_METADATA_URI_V4"

const (
	patience   = 10 * time.Second // of one question
	maxAnswer  = 64 << 10
	echoServer = "https://checkip.amazonaws.com" // answers with the address from which it was asked
)

// A Finder asks. The zero value is ready.
type Finder struct {
	Getenv func(string) string // required
	Echo   string              // instead of AWS's service
}

// Private returns the address in the network of this process: that of the ECS task, or else the one from which this host would send
// to the internet. Nothing is sent there.
func (f Finder) Private(ctx context.Context) (netip.Addr, error) {
	if f.Getenv(metadataVar) == "" {
		return ofTheRoute()
	}
	return f.task(ctx, netip.Addr.Is4)
}

// IPv6 returns the ECS task's IPv6 address that is valid everywhere.
func (f Finder) IPv6(ctx context.Context) (netip.Addr, error) {
	if f.Getenv(metadataVar) == "" {
		return netip.Addr{}, fmt.Errorf("%s is not set: this is no task of ECS", metadataVar)
	}
	return f.task(ctx, func(a netip.Addr) bool { return a.Is6() && a.IsGlobalUnicast() && !a.IsPrivate() })
}

// Public returns the IPv4 address that others see. Fargate's metadata do not have it, so AWS is asked from where a request comes.
func (f Finder) Public(ctx context.Context) (netip.Addr, error) {
	url := f.Echo
	if url == "" {
		url = echoServer
	}
	text, err := get(ctx, url)
	if err != nil {
		return netip.Addr{}, err
	}
	address, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil || !address.Is4() {
		return netip.Addr{}, fmt.Errorf("%s has not answered with an IPv4 address", url)
	}
	return address, nil
}

// task asks ECS for the first address of its task that fits.
func (f Finder) task(ctx context.Context, fits func(netip.Addr) bool) (netip.Addr, error) {
	text, err := get(ctx, f.Getenv(metadataVar))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("metadata of the ECS task: %w", err)
	}
	var container struct {
		Networks []struct{ IPv4Addresses, IPv6Addresses []netip.Addr }
	}
	if err := json.Unmarshal(text, &container); err != nil {
		return netip.Addr{}, fmt.Errorf("metadata of the ECS task: %w", err)
	}
	for _, network := range container.Networks {
		for _, address := range append(network.IPv4Addresses, network.IPv6Addresses...) {
			if fits(address) {
				return address, nil
			}
		}
	}
	return netip.Addr{}, errors.New("the metadata of the ECS task have no such address: is its network mode awsvpc?")
}

// ofTheRoute is the source address of what goes to the internet. A UDP socket that is connected has sent nothing.
func ofTheRoute() (netip.Addr, error) {
	conn, err := net.Dial("udp4", "192.0.2.1:9") // an address of documentation, which nobody has
	if err != nil {
		return netip.Addr{}, fmt.Errorf("no route leads out of this host: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxAnswer))
}
