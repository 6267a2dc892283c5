export * from './lambda-dispatch';
export * from './props';
export * from './signing-key';
