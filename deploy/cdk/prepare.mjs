// node prepare.mjs FOLDER: puts Envoy's bootstrap beside the compiled code, and makes a module of the README's example, so that the tests
// compile and run it.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
copyFileSync('../../envoy/bootstrap.yaml', `${folder}/bootstrap.yaml`);
const [, example] = readFileSync('README.md', 'utf8').match(/```ts\n([^]*?)```/);
writeFileSync('test/readme.gen.ts', example.replace("'lambda-dispatch-cdk'", "'../src'") + '\nexport { stack };\n');
