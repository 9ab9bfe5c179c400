package impersonate

import (
	"context"
	"net/netip"
)

// lookupFunc makes a resolver of a func that only fails.
func lookupFunc(f func(ctx context.Context, network, host string) error) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		return nil, f(ctx, network, host)
	}
}
