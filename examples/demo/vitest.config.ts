export { default } from '../../tooling/vitest/index.ts'
