package awslambda

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
)

// latest is the qualifier of the version that is not published.
const latest = "$LATEST"

var published = regexp.MustCompile(`^[0-9]+$`)

// Routing implements provider.Provider. Of an alias it returns the one or two versions that the alias points to, of $LATEST the revision,
// and of a published version nothing, because that never changes.
func (f *Function) Routing(ctx context.Context) (provider.Routing, error) {
	switch qualifier := aws.ToString(f.qualifier); {
	case published.MatchString(qualifier):
		return provider.Routing{}, nil
	case qualifier == "" || qualifier == latest:
		return f.revision(ctx)
	default:
		return f.alias(ctx)
	}
}

func (f *Function) alias(ctx context.Context) (provider.Routing, error) {
	out, err := f.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: f.name, Name: f.qualifier})
	if err != nil {
		return provider.Routing{}, unread("alias", err)
	}
	version := aws.ToString(out.FunctionVersion)
	if version == latest {
		return f.revision(ctx)
	}
	route := pool.Route{Version: version}
	if out.RoutingConfig != nil {
		for extra, share := range out.RoutingConfig.AdditionalVersionWeights { // Lambda allows one
			if share > 0 && share <= 1 {
				route.Extra, route.Share = extra, share
			}
		}
	}
	return provider.Routing{Route: route}, nil
}

// revision identifies code and configuration together, because Lambda makes new environments after a change of either.
func (f *Function) revision(ctx context.Context) (provider.Routing, error) {
	out, err := f.client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: f.name})
	if err != nil {
		return provider.Routing{}, unread("configuration", err)
	}
	return provider.Routing{Revision: aws.ToString(out.LastModified) + " " + aws.ToString(out.CodeSha256)}, nil
}

func unread(what string, err error) error {
	switch status(err) {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("%s: %w: %w", what, provider.ErrForbidden, err)
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w: %w", what, provider.ErrGone, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
