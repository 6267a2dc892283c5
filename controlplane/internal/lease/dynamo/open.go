package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/emulator"
)

// Errors of Check and Open that a retry does not mend.
var (
	ErrNoRegion = errors.New("no region: set lease.region, aws.region or AWS_REGION")
	ErrNoTable  = errors.New("there is no such table")
	ErrDenied   = errors.New("not allowed")
	ErrKey      = errors.New(`the table's key must be a string named "name", without a sort key`)
)

// checkWithin is how long Check waits for an answer.
const checkWithin = 5 * time.Second

// Open returns the store of an item. If o lacks region or credentials, they come from the SDK's default chain. It does not call
// DynamoDB.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Credentials == nil && emulator.At(o.Endpoint) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "none", SecretAccessKey: "none"}, nil
		})
		o.Region = cmp.Or(o.Region, emulator.Region)
	}
	if o.Credentials == nil {
		cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(o.Region))
		if err != nil {
			return nil, fmt.Errorf("aws configuration: %w", err)
		}
		o.Region, o.Credentials = cfg.Region, cfg.Credentials
	}
	if o.Region == "" {
		return nil, ErrNoRegion
	}
	return New(o), nil
}

// Check reads the item once. The error wraps one of the above if a retry would not mend it. Other errors may pass.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	_, err := s.Read(ctx)
	var refused *apiError
	if err == nil || !errors.As(err, &refused) {
		return err
	}
	where := fmt.Sprintf("table %s in %s", s.o.Table, s.o.Region)
	switch {
	case refused.is("ResourceNotFoundException"):
		return fmt.Errorf("%s: %w", where, ErrNoTable)
	case refused.is(denied...):
		return fmt.Errorf("%s: %w: dynamodb:GetItem and dynamodb:PutItem are needed: %.300s", where, ErrDenied, refused.Message)
	case refused.is(strange...):
		return fmt.Errorf("%s: %w: AWS does not know the credentials: %.300s", where, ErrDenied, refused.Message)
	case refused.is("ValidationException"):
		return fmt.Errorf("%s: %w: %.300s", where, ErrKey, refused.Message)
	default:
		return err
	}
}

// Definite tells whether a retry would not mend the error of Check or Open.
func Definite(err error) bool {
	for _, one := range []error{ErrNoRegion, ErrNoTable, ErrDenied, ErrKey} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
