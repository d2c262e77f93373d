export { default } from '../vitest/index.ts'
