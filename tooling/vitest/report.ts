import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

/** What `tooling/scripts/test.ts` reads after a run. */
export interface Report {
  passed: number
  failed: number
  skipped: { name: string; reason: string | undefined; todo: boolean }[]
  /** Files that could not be loaded, and errors that no test caught. */
  errors: string[]
  interrupted: boolean
}

/** Writes a {@link Report} to the file that `NOTIFY_TEST_REPORT` names. */
export default class ReportFile implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly { name?: string; message?: string }[],
    reason: 'passed' | 'failed' | 'interrupted',
  ): void {
    const report: Report = {
      passed: 0,
      failed: 0,
      skipped: [],
      errors: [],
      interrupted: reason === 'interrupted',
    }
    for (const module of modules) {
      const file = `${module.project.name} ${module.relativeModuleId}`
      const tests = [...module.children.allTests()]
      for (const test of tests) {
        const { state } = test.result()
        if (state === 'passed') report.passed++
        else if (state === 'skipped') {
          const { mode } = test.options
          const result = test.result()
          report.skipped.push({
            name: `${file} > ${test.fullName}`,
            reason: result.state === 'skipped' ? result.note : undefined,
            todo: mode === 'todo',
          })
        } else report.failed++
      }
      const broken = [module, ...module.children.allSuites()].flatMap((part) =>
        part.errors().map((error) => `${file}: ${error.message}`),
      )
      report.errors.push(...broken)
    }
    report.errors.push(...unhandled.map((error) => `${error.name ?? 'Error'}: ${error.message ?? ''}`))
    const target = process.env.NOTIFY_TEST_REPORT
    if (target !== undefined) writeFileSync(target, JSON.stringify(report))
  }
}
