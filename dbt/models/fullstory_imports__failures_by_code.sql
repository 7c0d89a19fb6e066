with failures as (

    select 'events' as kind, code, message, job_id, error_index, event as example
    from {{ ref('stg_fullstory_imports__import_errors') }}
    union all
    select 'users' as kind, code, message, job_id, error_index, {{ quoted('user') }} as example
    from {{ ref('stg_fullstory_imports__user_import_errors') }}

),

numbered as (

    select
        failures.*,
        count(*) over (partition by kind, code) as failures,
        row_number() over (partition by kind, code order by job_id, error_index) as place
    from failures

)

select
    kind,
    code,
    failures,
    message as example_message,
    job_id as example_job_id,
    error_index as example_error_index,
    example
from numbered
where place = 1
