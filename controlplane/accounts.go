package controlplane

import (
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// accounts has the budget that the functions of one account and region share, where one is known.
type accounts map[config.Place]*scaler.Budget

func newAccounts(cfg *Config) accounts {
	all := accounts{}
	for _, a := range cfg.Accounts {
		all[cfg.PlaceOfAccount(a)] = scaler.NewPlaces(a.Instances)
	}
	return all
}

// of returns the budget of each function, by name.
func (a accounts) of(cfg *Config) map[string]*scaler.Budget {
	shared := map[string]*scaler.Budget{}
	for _, f := range cfg.Functions {
		if places := a[cfg.PlaceOf(f)]; places != nil && f.Provider == config.ProviderLambda {
			shared[f.Name] = places
		}
	}
	return shared
}
