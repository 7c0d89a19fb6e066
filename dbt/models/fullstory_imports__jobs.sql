with jobs as (

    select
        'events' as kind, job_id, status, created_at, finished_at, imported_events as reported, failed_events as failed,
        {{ is_loaded('imported_events') }} as has_rows, {{ is_loaded('import_errors') }} as has_failed_rows
    from {{ ref('stg_fullstory_imports__import_jobs') }}
    union all
    select
        'users' as kind, job_id, status, created_at, finished_at, imported_users as reported, failed_users as failed,
        {{ is_loaded('imported_users') }} as has_rows, {{ is_loaded('user_import_errors') }} as has_failed_rows
    from {{ ref('stg_fullstory_imports__user_import_jobs') }}

),

-- Rows are numbered from 0, so a number that is missing is a gap.
imported as (

    select 'events' as kind, job_id, count(*) as number_of_rows, max(event_index) + 1 - count(*) as gaps
    from {{ ref('stg_fullstory_imports__imported_events') }}
    group by job_id
    union all
    select 'users' as kind, job_id, count(*) as number_of_rows, max(user_index) + 1 - count(*) as gaps
    from {{ ref('stg_fullstory_imports__imported_users') }}
    group by job_id

),

failed as (

    select 'events' as kind, job_id, count(*) as number_of_rows, max(error_index) + 1 - count(*) as gaps
    from {{ ref('stg_fullstory_imports__import_errors') }}
    group by job_id
    union all
    select 'users' as kind, job_id, count(*) as number_of_rows, max(error_index) + 1 - count(*) as gaps
    from {{ ref('stg_fullstory_imports__user_import_errors') }}
    group by job_id

),

counted as (

    select
        jobs.*,
        coalesce(jobs.status in ('COMPLETED', 'FAILED'), false) as is_finished,
        jobs.job_id in (''{% for job_id in var('fullstory_imports_accepted_jobs') %}, {{ literal(job_id) }}{% endfor %}) as is_accepted,
        case when jobs.has_rows then coalesce(imported.number_of_rows, 0) end as loaded,
        case when jobs.has_failed_rows then coalesce(failed.number_of_rows, 0) end as failed_loaded,
        coalesce(imported.gaps, 0) as gaps,
        coalesce(failed.gaps, 0) as failed_gaps
    from jobs
    left join imported on imported.kind = jobs.kind and imported.job_id = jobs.job_id
    left join failed on failed.kind = jobs.kind and failed.job_id = jobs.job_id

)

select
    kind,
    job_id,
    status,
    is_finished,
    is_accepted,
    created_at,
    finished_at,
    reported,
    loaded,
    reported - loaded as missing,
    gaps,
    failed,
    failed_loaded,
    failed - failed_loaded as failed_missing,
    failed_gaps
from counted
